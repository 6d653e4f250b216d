"""Writes what the exporter's fuzzer begins with: make_exporter_corpus.py FOLDER makes FOLDER/KIND for each of
exporter_input.FILES. All are whole files of small models and of tokenizers that are trained here."""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf
import sentencepiece
from tokenizers import AddedToken, normalizers

from tests.models.fuzz.exporter_input import FILES, SMALL, ExporterInput
from tests.models.gguf_files import write_gguf
from tests.models.support import random_tensors
from tests.models.tokenizers_test import byte_level_bpe, converted, sentence_piece_model

ORIGINAL = {"original_max_position_embeddings": 64}
ROPE_RULES: list[dict[str, Any]] = [
    {"type": "linear", "factor": 2.0},
    {"rope_type": "dynamic", "factor": 2.0},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0} | ORIGINAL,
    {"rope_type": "yarn", "factor": 4.0, "beta_fast": 32, "beta_slow": 1} | ORIGINAL,
    {"rope_type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [1.0, 2.0]} | ORIGINAL,
]
PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "ab", "▁a"]


def gguf_seeds(folder: Path) -> None:
    small = SMALL | {"vocab_size": 16, "tie_word_embeddings": True}
    tensors = random_tensors(small)
    write_gguf(folder / "plain", tensors, small, eos_token_id=7)
    yarn = {"rope_scaling_type": gguf.RopeScalingType.YARN, "rope_scaling_factor": 4.0, "rope_scaling_orig_ctx_len": 64}
    write_gguf(folder / "yarn", tensors, small, **yarn)
    write_gguf(folder / "factors", tensors, small, more={"rope_freqs.weight": [1, 2]})
    words: dict[str, Any] = {"token_list": ["<s>", "a", "b", "ab"], "token_types": [3, 1, 1, 1], "token_merges": ["a b"]}
    template = "{{ bos_token }}{{ messages[0]['content'] }}"
    words |= {"tokenizer_pre": "smollm", "bos_token_id": 0, "chat_template": template}
    write_gguf(folder / "bpe", tensors, small, tokenizer_model="gpt2", **words)
    pieces = {"token_list": PIECES, "token_scores": [0.0] * len(PIECES), "token_types": [2, 3, 3, *[6] * 256, *[1] * 5]}
    config = small | {"vocab_size": len(PIECES)}
    write_gguf(folder / "sentencepiece", random_tensors(config), config, tokenizer_model="llama", bos_token_id=1, **pieces)
    config = small | {"model_type": "phi3"}
    write_gguf(folder / "phi3", random_tensors(config), config)


def main() -> None:
    corpus = Path(sys.argv[1])
    for kind in FILES:
        (corpus / kind).mkdir(parents=True, exist_ok=True)
    gguf_seeds(corpus / "gguf")

    models = {"plain": sentence_piece_model(), "user": sentence_piece_model(user_defined_symbols=["<tool>", "ab"])}
    for name, model in models.items():
        (corpus / "sentencepiece" / name).write_bytes(model)

    def write(kind: str, name: str, document: Any) -> None:
        (corpus / kind / name).write_text(json.dumps(document), encoding="utf-8")

    for rule in ("gpt2", "smollm", "llama3", "qwen2"):
        original = byte_level_bpe(rule, random.Random(rule))
        if rule == "qwen2":
            original.normalizer = normalizers.NFC()
        original.add_special_tokens([AddedToken("<s>", normalized=False)])
        document = json.loads(original.to_str())
        write("tokenizer", rule, document)
        document["model"]["vocab"] = {text: id for text, id in document["model"]["vocab"].items() if id < 260}
        document["model"]["merges"] = document["model"]["merges"][:4]
        write("tokenizer", f"{rule}-small", document)
    processor = sentencepiece.SentencePieceProcessor(model_proto=models["plain"])
    for blank in ("each", "first_unless_there"):
        write("tokenizer", f"sentencepiece-{blank}", json.loads(converted(processor, blank, {}).to_str()))

    write("config", "plain", SMALL | {"eos_token_id": [1, 2]})
    for rule in ROPE_RULES:
        write("config", rule.get("rope_type", "linear"), SMALL | {"rope_scaling": rule})
    for family in ("mistral", "qwen2", "qwen3", "phi3"):
        switch = {"use_sliding_window": True} if family.startswith("qwen") else {}
        write("config", family, SMALL | {"model_type": family, "sliding_window": 9, **switch})

    # Were all refused, most of the exporter would stay untried.
    for kind in FILES:
        with tempfile.TemporaryDirectory() as folder:
            target = ExporterInput(kind, Path(folder))
            good = sum(target.imports(file.read_bytes()) for file in (corpus / kind).iterdir())
            print(f"{kind}: {good} of {len(list((corpus / kind).iterdir()))} inputs come in")
            if good == 0:
                sys.exit(f"no seed of kind {kind} comes in")


if __name__ == "__main__":
    main()
