"""Byte-pair encodings of SentencePiece with byte fallback (Llama 2, Mistral): tokenizer.model, tokenizer.json or GGUF."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.export.errors import ExportError
from models.export.fields import reading
from models.export.tokenizer import NO_TOKENIZER_HINT, Tokenizer, added_tokens, leading_specials, merge_triples, texts_of

BLANK = "▁"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
BPE = 2  # trainer_spec.model_type
BYTE_PIECE = re.compile("<0x[0-9A-F]{2}>")


def is_sentence_piece(document: dict[str, Any]) -> bool:
    """Whether a tokenizer.json is such an encoding."""
    model = document.get("model") or {}
    return isinstance(model.get("vocab"), dict) and bool(model.get("byte_fallback"))


def from_model_file(path: Path, document: dict[str, Any] | None, config: dict[str, Any]) -> Tokenizer:
    """tokenizer.model. `document` is tokenizer.json, which knows the added tokens and the blank before a text; without it,
    `config` (tokenizer_config.json) does."""
    with reading(path):
        pieces, trainer, normalizer = _read_model(path.read_bytes())
        texts, scores, types = (list(column) for column in zip(*pieces, strict=True))
    expected = {
        "trainer_spec.model_type": (trainer.get(3, 1), BPE),
        "trainer_spec.byte_fallback": (trainer.get(35, 0), 1),
        "trainer_spec.treat_whitespace_as_suffix": (trainer.get(24, 0), 0),
        "normalizer_spec.precompiled_charsmap": (normalizer.get(2, b""), b""),
        "normalizer_spec.remove_extra_whitespaces": (normalizer.get(4, 1), 0),
        "normalizer_spec.escape_whitespaces": (normalizer.get(5, 1), 1),
    }
    for name, (value, wanted) in expected.items():
        if value != wanted:
            raise ExportError(f"{path}: {name} = {value!r:.60} is not supported: {wanted!r} is; {NO_TOKENIZER_HINT}")
    if UNUSED in types:
        raise ExportError(f"{path}: unused pieces are not supported; {NO_TOKENIZER_HINT}")
    added = [
        {"id": id, "text": text, "special": True}
        for id, (text, kind) in enumerate(zip(texts, types, strict=True))
        if kind in (UNKNOWN, CONTROL)
    ]
    if document is not None:
        vocabulary = document["model"]["vocab"]
        other = next((text for id, text in enumerate(texts) if vocabulary.get(text) != id), None)
        if other is not None or len(vocabulary) != len(texts):
            raise ExportError(
                f"{path}: not the vocabulary of tokenizer.json beside it ({len(texts)} and {len(vocabulary)} pieces"
                f"{'' if other is None else f', first difference {other!r}'}); remove the one that is not the model's"
            )
        blank, strips = blank_rule(document, str(path.with_name("tokenizer.json")))
        theirs = added_tokens(document)
        added = [token for token in added if token["text"] not in {other["text"] for other in theirs}] + theirs
    else:
        legacy = config.get("legacy") is not False
        dummy = bool(normalizer.get(3, 1)) and config.get("add_prefix_space") is not False
        blank = ("each" if legacy else "first_unless_there") if dummy else "none"
        strips = dummy
        added += _of_config(config, {token["id"] for token in added})
    prefix = leading_specials((document or {}).get("post_processor"), {token["text"]: token["id"] for token in added})
    bos = config.get("bos_token")
    bos_text = bos.get("content") if isinstance(bos, dict) else bos
    bos_id = next((token["id"] for token in added if token["text"] == (bos_text or "<s>")), None)
    if isinstance(config.get("add_bos_token"), bool) or document is None:
        prefix = [bos_id] if config.get("add_bos_token", True) and bos_id is not None else []
    return sentence_piece(texts, types, {"scores": scores}, blank, strips, added, prefix, str(path))


def from_document(document: dict[str, Any], config: dict[str, Any], where: str) -> Tokenizer:
    """tokenizer.json alone: its list of merges takes the place of the scores."""
    model = document["model"]
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout", "ignore_merges"):
        if model.get(name):
            raise ExportError(f"{where}: model.{name} = {model[name]!r} is not supported; {NO_TOKENIZER_HINT}")
    blank, strips = blank_rule(document, where)
    ids = dict(model["vocab"])
    texts = texts_of(ids, where)
    kinds = {model.get("unk_token"): UNKNOWN}
    types = [BYTE if BYTE_PIECE.fullmatch(text or "") else kinds.get(text, NORMAL) for text in texts]
    added = added_tokens(document)
    all_ids = ids | {token["text"]: token["id"] for token in added}
    prefix = leading_specials(document.get("post_processor"), all_ids)
    bos = config.get("bos_token")
    bos_id = all_ids.get(bos.get("content") if isinstance(bos, dict) else bos)
    if isinstance(config.get("add_bos_token"), bool):
        prefix = [bos_id] if config["add_bos_token"] and bos_id is not None else []
    merges = {"merges": merge_triples(model["merges"], ids, where)}
    return sentence_piece(texts, types, merges, blank, strips, added, prefix, where)


def from_gguf(values: dict[str, Any], where: str) -> Tokenizer:
    """From a GGUF file's metadata (keys without `tokenizer.ggml.`); its types of tokens are those of SentencePiece."""
    texts, scores, types = (values[name] or [] for name in ("tokens", "scores", "token_type"))
    if not texts or not len(texts) == len(scores) == len(types):
        raise ExportError(f"{where}: tokenizer.ggml.tokens, scores and token_type: one of each a token is expected")
    # Tokens that were added behind the model file are user defined here; both are found before anything else.
    added = [
        {"id": id, "text": text, "special": kind != USER_DEFINED}
        for id, (text, kind) in enumerate(zip(texts, types, strict=True))
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    ]
    types = [CONTROL if kind == USER_DEFINED else kind for kind in types]
    add_bos = values["add_bos_token"] is not False
    prefix = [values["bos_token_id"]] if add_bos and values["bos_token_id"] is not None else []
    with_blank = values["add_space_prefix"] is not False
    scores = [float(score) for score in scores]
    return sentence_piece(texts, types, {"scores": scores}, "each" if with_blank else "none", with_blank, added, prefix, where)


def sentence_piece(
    texts: list[str | None],
    types: list[int],
    order: dict[str, list[Any]],
    blank: str,
    strips: bool,
    added: list[dict[str, Any]],
    prefix: list[int],
    where: str,
) -> Tokenizer:
    """`order`: the scores of all pieces, or the merges."""
    missing = {f"<0x{byte:02X}>" for byte in range(256)} - {t for t, kind in zip(texts, types, strict=True) if kind == BYTE}
    if missing:
        raise ExportError(f"{where}: the byte pieces {sorted(missing)[:3]} are missing; {NO_TOKENIZER_HINT}")
    if blank == "each" and any(token.get("normalized") for token in added):
        raise ExportError(f"{where}: added tokens that are normalized are not supported here; {NO_TOKENIZER_HINT}")
    _check_pieces(texts, types, order.get("scores", []), where)
    texts, types, order = list(texts), list(types), dict(order)
    most = 4 * len(texts) + 1000
    for token in added:
        id, text = token["id"], token["text"]
        if not (isinstance(id, int) and 0 <= id < most and isinstance(text, str) and text):
            raise ExportError(f"{where}: added token {text!r} with id {id!r}: a text and an id below {most} are expected")
    behind = max((token["id"] + 1 for token in added), default=0) - len(texts)
    if behind > 0:
        texts += [None] * behind
        types += [UNUSED] * behind
        if "scores" in order:
            order["scores"] = [*order["scores"], *[0.0] * behind]
    ids = {text: id for id, text in enumerate(texts) if text is not None} | {token["text"]: token["id"] for token in added}
    data = {"kind": "sentencepiece-bpe", "pieces": texts, "types": types, "blank": blank, "strips_blank": strips, "added": added}
    return Tokenizer({"kind": "sentencepiece-bpe", "prefix_ids": prefix}, data | order, ids)


def _check_pieces(texts: list[str | None], types: list[int], scores: list[float], where: str) -> None:
    seen = set()
    for text, kind in zip(texts, types, strict=True):
        if not (isinstance(kind, int) and NORMAL <= kind <= BYTE):
            raise ExportError(f"{where}: piece {text!r} has the type {kind!r}: 1 to 6 are known")
        if text is None:
            continue
        if not isinstance(text, str) or text in seen:
            raise ExportError(f"{where}: piece {text!r} stands twice, or is no text")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ExportError(f"{where}: piece {text!r} is not Unicode")
        seen.add(text)
    if not all(isinstance(score, float) and math.isfinite(score) for score in scores):
        raise ExportError(f"{where}: a score that is no number")


def blank_rule(document: dict[str, Any], where: str) -> tuple[str, bool]:
    """Where a tokenizer.json puts a blank before a text (models/tokenizers/sentence_piece_bpe.h); whether decoding drops it."""
    normalizer, pre, decoder = (document.get(key) or {} for key in ("normalizer", "pre_tokenizer", "decoder"))
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    prepend = {"type": "Prepend", "prepend": BLANK}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": BLANK}
    metaspace = pre.get("type") == "Metaspace" and pre.get("replacement") == BLANK and pre.get("split") is False
    rule = None
    if not pre and steps in ([prepend, replace], [replace]):
        rule = "each" if steps[0] == prepend else "none"
    elif metaspace and not steps:
        rules = {"always": "each_unless_there", "first": "first_unless_there", "never": "none"}
        rule = rules.get(pre.get("prepend_scheme"))
    if rule is None:
        raise ExportError(f"{where}: this normalizer and pre_tokenizer are not supported; {NO_TOKENIZER_HINT}")
    kinds = [step.get("type") for step in decoder.get("decoders", [decoder])]
    if kinds not in (["Replace", "ByteFallback", "Fuse"], ["Replace", "ByteFallback", "Fuse", "Strip"]):
        raise ExportError(f"{where}: the decoder {kinds} is not supported; {NO_TOKENIZER_HINT}")
    return rule, kinds[-1] == "Strip"


def _of_config(config: dict[str, Any], known: set[int]) -> list[dict[str, Any]]:
    """Added tokens that tokenizer_config.json lists beside those of the model file."""
    listed = config.get("added_tokens_decoder") or {}
    tokens = [{"id": int(id), **token} for id, token in listed.items() if int(id) not in known]
    return [token | {"normalized": False} for token in added_tokens({"added_tokens": tokens})]


def _read_model(data: bytes) -> tuple[list[tuple[str, float, int]], dict[int, Any], dict[int, Any]]:
    """Pieces (text, score, type), trainer_spec and normalizer_spec of a serialized sentencepiece.ModelProto."""
    pieces, trainer, normalizer = [], {}, {}
    for number, value in _fields(data):
        if number == 1:
            piece = dict(_fields(value))
            pieces.append((piece[1].decode("utf-8"), piece.get(2, 0.0), piece.get(3, NORMAL)))
        elif number in (2, 3):
            (trainer if number == 2 else normalizer).update(_fields(value))
    if not pieces:
        raise ValueError("no pieces")
    return pieces, trainer, normalizer


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of a protocol buffer's fields: whole numbers, floats of 32 bits, and bytes."""
    place = 0

    def varint() -> int:
        nonlocal place
        value, shift = 0, 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def take(count: int) -> bytes:
        nonlocal place
        if count > len(data) - place:
            raise ValueError("a field ends behind the file")
        place += count
        return data[place - count : place]

    while place < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
        elif kind == 1:
            yield key >> 3, take(8)
        elif kind == 2:
            yield key >> 3, take(varint())
        elif kind == 5:
            yield key >> 3, struct.unpack("<f", take(4))[0]
        else:
            raise ValueError(f"wire type {kind}")
