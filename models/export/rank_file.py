"""tiktoken's rank files, as Llama 3's original tokenizer.model: a line for each token, its bytes in base64, a space, its rank."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from models.export.errors import ExportError
from models.export.fields import reading
from models.export.tokenizer import LETTER_OF_BYTE, NO_TOKENIZER_HINT, Tokenizer

LINE = re.compile(rb"[A-Za-z0-9+/]+=* [0-9]+")


def is_rank_file(path: Path) -> bool:
    with path.open("rb") as file:
        return LINE.fullmatch(file.readline(4096).rstrip(b"\r\n")) is not None


def llama3_specials() -> list[str]:
    """The 256 special tokens behind the ranks of Llama 3, in order."""
    reserved = (f"<|reserved_special_token_{number}|>" for number in range(251))
    first = ["<|begin_of_text|>", "<|end_of_text|>", *(next(reserved) for _ in range(4))]
    return [*first, "<|start_header_id|>", "<|end_header_id|>", next(reserved), "<|eot_id|>", *reserved]


def from_rank_file(path: Path, config: dict[str, Any], vocabulary: int) -> Tokenizer:
    """Llama 3's tokenizer, whose ranks and specials fill the model's `vocabulary`.

    Where `config` (tokenizer_config.json) lists added tokens, their names win (Llama 3.1 has others)."""
    with reading(path):
        lines = path.read_bytes().splitlines()
        pairs = [line.split(b" ") for line in lines if line]
        ranks = [(base64.b64decode(text, validate=True), int(rank)) for text, rank in pairs]
    if [rank for _, rank in ranks] != list(range(len(ranks))):
        raise ExportError(f"{path}: the ranks do not count from 0 in steps of one; is the file complete?")
    texts = ["".join(LETTER_OF_BYTE[byte] for byte in token) for token, _ in ranks]
    if len(set(texts)) != len(texts) or "" in texts:
        raise ExportError(f"{path}: a token is empty or stands twice; is the file complete?")
    missing = set(LETTER_OF_BYTE) - set(texts)
    if missing:
        raise ExportError(f"{path}: {len(missing)} of the 256 bytes have no token; is the file complete?")
    specials = llama3_specials()
    if len(ranks) + len(specials) != vocabulary:
        raise ExportError(
            f"{path}: {len(ranks)} ranks and Llama 3's {len(specials)} special tokens are not the model's vocabulary of "
            f"{vocabulary}: another model's ranks, whose splitting rule is not known; {NO_TOKENIZER_HINT}"
        )
    names = dict(enumerate(specials, len(ranks)))
    listed = config.get("added_tokens_decoder") or {}
    with reading(f"{path}: tokenizer_config.json: added_tokens_decoder"):
        names |= {int(id): token["content"] for id, token in listed.items() if int(id) in names}
        if not all(isinstance(name, str) for name in names.values()):
            raise TypeError("content is no text")
    added = [{"id": id, "text": text, "special": True} for id, text in names.items()]
    ids = {text: id for id, text in enumerate(texts)} | {text: id for id, text in names.items()}
    data = {
        "kind": "byte-level-bpe",
        "pre": "llama3",
        "ignore_merges": True,
        "long_text_cut": True,
        "vocabulary": [*texts, *names.values()],
        "merges": "by_rank",
        "added": added,
    }
    prefix = [] if config.get("add_bos_token") is False else [len(ranks)]
    return Tokenizer({"kind": "byte-level-bpe", "prefix_ids": prefix}, data, ids)
