"""What the exporter needs of a checkpoint, wherever it comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from models.export.llama import LlamaSettings
from models.export.tokenizer import Tokenizer


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template and the special tokens that it may print."""

    text: str
    bos_token: str
    eos_token: str


class Checkpoint(ABC):
    """A Llama on disk. Tensors carry the names and row orders of Hugging Face and are read one at a time."""

    settings: LlamaSettings
    source: str  # for people
    stop_ids: list[int]
    tokenizer: Tokenizer | None
    chat_template: ChatTemplate | None
    cleans_up_spaces: bool = False  # the model's own wish, obeyed with --clean-up-spaces

    @abstractmethod
    def names(self) -> set[str]:
        """Names of all tensors that are there."""

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor, without reading it."""

    @abstractmethod
    def tensor(self, name: str) -> torch.Tensor:
        """One tensor in a floating type; raises ExportError where its bytes are not all there."""
