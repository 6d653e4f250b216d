"""The vocabulary of the small model: 249 words followed by 256 byte tokens."""

from __future__ import annotations

import json
from pathlib import Path

VOCABULARY_FILE = Path(__file__).with_name("vocabulary.json")


class Vocabulary:
    """Words, special tokens and word groups read from `vocabulary.json`.

    A word's id is its place in the list; byte b has the id `byte_base + b`. The word groups (names, values,
    categories, ...) are what the contexts are built from and are stored as ids here.
    """

    def __init__(self, path: Path = VOCABULARY_FILE):
        data = json.loads(path.read_text(encoding="utf-8"))
        self.words: list[str] = data["words"]
        self.id = {word: index for index, word in enumerate(self.words)}
        self.pad: int = data["pad_id"]
        self.bos: int = data["bos_id"]
        self.eos: int = data["eos_id"]
        self.byte_base: int = data["byte_base"]
        self.size: int = self.byte_base + 256
        groups = data["groups"]
        self.names = self._ids(groups["names"])
        self.values = self._ids(groups["values"])
        self.categories = [self._ids(words) for words in groups["categories"]]
        self.nouns = [noun for category in self.categories for noun in category]
        self.labels = self._ids(groups["labels"])
        self.adjectives = self._ids(groups["adjectives"])
        self.verbs = self._ids(groups["verbs"])
        self.numbers = self._ids(groups["numbers"])
        if len(self.id) != len(self.words) or len(self.words) != self.byte_base:
            raise ValueError(f"{path}: words must be distinct and exactly byte_base = {self.byte_base} many")

    def _ids(self, words: list[str]) -> list[int]:
        return [self.id[word] for word in words]

    def text(self, tokens: list[int]) -> str:
        """The words of `tokens`, separated by blanks (byte tokens as <0xNN>)."""
        return " ".join(
            self.words[t] if t < self.byte_base else f"<0x{t - self.byte_base:02X}>" for t in tokens
        )
