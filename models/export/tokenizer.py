"""Turns tokenizers of other formats into the data that namm's own read (models/tokenizers)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.export.errors import ExportError
from models.export.fields import id_list

# Splitting rules of models/tokenizers/byte_level_bpe.cpp by their names in GGUF files.
GGUF_SPLITTERS = {
    "gpt-2": "gpt2",
    "smollm": "smollm",
    "llama-bpe": "llama3",
    "llama3": "llama3",
    "llama-v3": "llama3",
    "qwen2": "qwen2",
}

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace("{1,3}", "")

# What an added token may have beside its text (models/tokenizers/added_tokens.h).
ADDED_FLAGS = ("normalized", "single_word", "lstrip", "rstrip")

NO_TOKENIZER_HINT = "--no-tokenizer exports the model without one"


@dataclass
class Tokenizer:
    """`settings` go into the contract, `data` into the archive's namm_tokenizer.json."""

    settings: dict[str, Any]
    data: dict[str, Any]
    ids: dict[str, int] = field(repr=False)

    def id_of(self, token: str) -> int | None:
        return self.ids.get(token)


def from_words(data: dict[str, Any], where: str) -> Tokenizer:
    """The white-space words of the small model; its file is already in our form."""
    if data.get("kind") != "words":
        raise ExportError(f"{where}: kind = {data.get('kind')!r} is not supported: words is")
    words = data.get("words")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ExportError(f"{where}: words: a list of words is expected")
    ids = {word: index for index, word in enumerate(words)}
    if len(ids) != len(words) or data.get("byte_base") != len(words):
        raise ExportError(f"{where}: words must be distinct and byte_base their number")
    special = id_list([data[key] for key in ("pad_id", "bos_id", "eos_id") if data.get(key) is not None], f"{where}: special ids")
    prefix = [data["bos_id"]] if data.get("bos_id") is not None and data.get("add_bos", True) else []
    return Tokenizer(
        {"kind": "words", "prefix_ids": prefix},
        {"kind": "words", "words": words, "special": special, "byte_base": data["byte_base"]},
        ids,
    )


def from_tokenizer_json(data: dict[str, Any], config: dict[str, Any], where: str, vocabulary: int) -> Tokenizer:
    """A byte-level BPE written by the library `tokenizers`; `config` is tokenizer_config.json."""
    model = data.get("model") or {}
    if not (isinstance(model.get("vocab"), dict) and isinstance(model.get("merges"), list)):
        raise ExportError(f"{where}: a model of kind {model.get('type')!r} is not supported: BPE is; {NO_TOKENIZER_HINT}")
    for name in ("unk_token", "continuing_subword_prefix", "end_of_word_suffix", "dropout", "byte_fallback"):
        # The unknown token never comes up where all 256 bytes are tokens.
        complete = name == "unk_token" and len(BYTE_LETTERS - model["vocab"].keys()) == 0
        if model.get(name) and not complete:
            raise ExportError(f"{where}: model.{name} = {model[name]!r} is not supported; {NO_TOKENIZER_HINT}")
    normalizer = _normalizer(data.get("normalizer"), where)
    splitter = _splitter(data.get("pre_tokenizer"), where)
    added = added_tokens(data)
    ids = dict(model["vocab"]) | {token["text"]: token["id"] for token in added}
    prefix = leading_specials(data.get("post_processor"), ids)
    bos = config.get("bos_token")
    bos_id = ids.get(bos.get("content") if isinstance(bos, dict) else bos)
    if isinstance(config.get("add_bos_token"), bool):
        prefix = [bos_id] if config["add_bos_token"] and bos_id is not None else []
    merges = model["merges"]
    return _byte_level_bpe(ids, added, merges, splitter, bool(model.get("ignore_merges")), normalizer, prefix, where)


def added_tokens(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The added tokens of a tokenizer.json in our form."""
    tokens = data.get("added_tokens") or []
    for token in tokens:
        id, text = token["id"], token["content"]
        if isinstance(id, bool) or not isinstance(id, int) or not isinstance(text, str) or not text:
            raise ValueError(f"added token {text!r:.60} with id {id!r:.60}: a text and a whole number are expected")
    return [
        {"id": token["id"], "text": token["content"], "special": bool(token.get("special"))}
        | {flag: True for flag in ADDED_FLAGS if token.get(flag)}
        for token in tokens
    ]


def from_gguf(values: dict[str, Any], where: str) -> Tokenizer:
    """A byte-level BPE from a GGUF file's metadata (keys without `tokenizer.ggml.`)."""
    if values["model"] != "gpt2":
        raise ExportError(
            f"{where}: tokenizer.ggml.model = {values['model']!r} is not supported: gpt2 (byte-level BPE) and llama "
            f"(SentencePiece) are; {NO_TOKENIZER_HINT}"
        )
    splitter = GGUF_SPLITTERS.get(values["pre"] or "")
    if splitter is None:
        raise ExportError(
            f"{where}: tokenizer.ggml.pre = {values['pre']!r}: this splitting rule is not known (known: "
            f"{', '.join(GGUF_SPLITTERS)}). A guessed one would give other ids without an error; {NO_TOKENIZER_HINT}"
        )
    tokens, kinds = values["tokens"] or [], values["token_type"] or []
    control, user_defined = 3, 4
    added = [
        {"id": id, "text": text, "special": kind == control}
        for id, (text, kind) in enumerate(zip(tokens, kinds))
        if kind in (control, user_defined)
    ]
    add_bos = values["add_bos_token"]
    if add_bos is None:
        add_bos = splitter == "llama3"
    prefix = [values["bos_token_id"]] if add_bos and values["bos_token_id"] is not None else []
    merges = values["merges"] or []
    ids = {text: id for id, text in enumerate(tokens)}
    normalizer = "nfc" if splitter == "qwen2" else ""
    return _byte_level_bpe(ids, added, merges, splitter, splitter == "llama3", normalizer, prefix, where)


def texts_of(ids: dict[str, int], where: str) -> list[str | None]:
    """The texts of a vocabulary by id; None where an id has none."""
    if not ids or not all(isinstance(id, int) and id >= 0 for id in ids.values()):
        raise ExportError(f"{where}: the vocabulary is empty or has ids that are no numbers")
    size = max(ids.values()) + 1
    if size > 4 * len(ids) + 1000:
        raise ExportError(f"{where}: {len(ids)} tokens with ids up to {size - 1}: the vocabulary is damaged")
    texts: list[str | None] = [None] * size
    for text, id in ids.items():
        if texts[id] is not None:
            raise ExportError(f"{where}: two tokens have the id {id}: {texts[id]!r} and {text!r}")
        texts[id] = text
    return texts


def _byte_level_bpe(
    ids: dict[str, int],
    added: list[dict[str, Any]],
    merges: list[str | list[str]],
    splitter: str,
    ignore_merges: bool,
    normalizer: str,
    prefix: list[int],
    where: str,
) -> Tokenizer:
    texts = texts_of(ids, where)
    triples = merge_triples(merges, ids, where)
    return Tokenizer(
        {"kind": "byte-level-bpe", "prefix_ids": prefix},
        {
            "kind": "byte-level-bpe",
            "pre": splitter,
            "ignore_merges": ignore_merges,
            "vocabulary": texts,
            "merges": triples,
            "added": added,
        }
        | ({"normalizer": normalizer} if normalizer else {}),
        ids,
    )


def merge_triples(merges: list[str | list[str]], ids: dict[str, int], where: str) -> list[int]:
    """Ids of left, right and result of every merge, which is written as a text with a space or as a pair."""
    triples: list[int] = []
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else list(merge)
        parts = [ids.get(part) for part in pair]
        result = ids.get("".join(pair))
        if len(parts) != 2 or None in parts or result is None:
            raise ExportError(f"{where}: the merge {' '.join(pair)!r} is not one of two tokens into a third")
        triples += [*parts, result]
    return triples


def _normalizer(normalizer: dict[str, Any] | None, where: str) -> str:
    """Name of the normal form that a `normalizer` of tokenizer.json asks for, empty where it asks for none."""
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    kinds = [step.get("type") for step in steps]
    if kinds not in ([], ["NFC"]):
        raise ExportError(f"{where}: the normalizer {kinds} is not supported: NFC is; {NO_TOKENIZER_HINT}")
    return "nfc" if kinds else ""


def _splitter(pre: dict[str, Any] | None, where: str) -> str:
    """Name of the splitting rule that a `pre_tokenizer` of tokenizer.json describes."""
    steps = [] if pre is None else pre.get("pretokenizers", [pre])
    kinds = [step.get("type") for step in steps]
    last = steps[-1] if steps else {}
    if kinds[-1:] == ["ByteLevel"] and not last.get("add_prefix_space", True):
        own_pattern = last.get("use_regex", True)
        if kinds == ["ByteLevel"] and own_pattern:
            return "gpt2"
        if kinds == ["Digits", "ByteLevel"] and own_pattern and steps[0].get("individual_digits"):
            return "smollm"
        if kinds == ["Split", "ByteLevel"] and not own_pattern:
            split = steps[0]
            pattern = (split.get("pattern") or {}).get("Regex")
            rule = {LLAMA3_PATTERN: "llama3", QWEN2_PATTERN: "qwen2"}.get(pattern)
            if rule and split.get("behavior") == "Isolated" and not split.get("invert"):
                return rule
    raise ExportError(
        f"{where}: pre_tokenizer {kinds}: this splitting rule is not known (known: ByteLevel as in GPT-2, Digits and ByteLevel "
        "as in SmolLM, the patterns of Llama 3 and Qwen2). A guessed one would give other ids without an error; "
        f"{NO_TOKENIZER_HINT}"
    )


def leading_specials(post: dict[str, Any] | None, ids: dict[str, int]) -> list[int]:
    """Ids that a post-processor puts before a text."""
    for step in [] if post is None else post.get("processors", [post]):
        if step.get("type") != "TemplateProcessing":
            continue
        prefix = []
        for piece in step.get("single", []):
            token = piece.get("SpecialToken")
            if token is None:
                return prefix
            known = (step.get("special_tokens") or {}).get(token["id"], {}).get("ids")
            prefix += known if known else [ids[token["id"]]]
    return []


def _letter_of_byte() -> list[str]:
    """The letters by which GPT-2's vocabulary files write the 256 bytes."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


LETTER_OF_BYTE = _letter_of_byte()
BYTE_LETTERS = frozenset(LETTER_OF_BYTE)
