"""A model folder or file whose one part is an input: what the exporter makes of it, for its fuzzer and for the test of what that
found."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path

from models.export.__main__ import parse_arguments
from models.export.command import plain_warnings, prepare, read_weights
from models.export.errors import ExportError
from tests.models.support import CONFIG, random_tensors, write_folder

# Kind of input -> the file that it stands for.
FILES = {
    "gguf": "model.gguf",
    "sentencepiece": "tokenizer.model",
    "tokenizer": "tokenizer.json",
    "config": "config.json",
}

SMALL = CONFIG | {
    "vocab_size": 1024,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


class ExporterInput:
    """`folder` gets what stands around the input."""

    def __init__(self, kind: str, folder: Path):
        self._file = folder / FILES[kind]
        if kind != "gguf":
            write_folder(folder, SMALL, random_tensors(SMALL), tokenizer_config={"bos_token": "<s>", "add_bos_token": True})
        source = self._file if kind == "gguf" else folder
        self._options = parse_arguments(["llama", "--from", str(source), "--out", str(folder / "unused.pt"), "--quiet"])

    def imports(self, content: bytes) -> bool:
        """All of an export but the writing; false where it ends in the exporter's own error."""
        self._file.write_bytes(content)
        with redirect_stderr(io.StringIO()), plain_warnings():
            try:
                read_weights(prepare(self._options), self._options, say=lambda text: None)
            except ExportError:
                return False
        return True
