"""The extra file namm_contract.json (models/contract.h): what an archive says of itself."""

from __future__ import annotations

from typing import Any

import torch

from models.export.chat import ChatForm
from models.export.checkpoint import Checkpoint
from models.export.llama import LlamaSettings

VERSION = 1


def llama_contract(checkpoint: Checkpoint, settings: LlamaSettings, dtype: str, chat: ChatForm) -> dict[str, Any]:
    # The files of chat models often name the end of a text only: an answer ends at the end of a turn as well.
    stop_ids = list(dict.fromkeys([*checkpoint.stop_ids, *([] if chat.stop_id is None else [chat.stop_id])]))
    partial = settings.rotary_dim != settings.head_dim
    return {
        "version": VERSION,
        "family": "llama",
        "source": checkpoint.source,
        "layers": settings.layers,
        "heads": settings.heads,
        "kv_heads": settings.kv_heads,
        "head_dim": settings.head_dim,
        "hidden": settings.hidden,
        "intermediate": settings.intermediate,
        "vocabulary": settings.vocabulary,
        "max_positions": settings.max_positions,
        "norm_eps": settings.norm_eps,
        "dtype": dtype,
        "rope": settings.rope.describe() | ({"components": settings.rotary_dim} if partial else {}),
        "stop_ids": [id for id in stop_ids if id < settings.vocabulary],
        "tokenizer": checkpoint.tokenizer.settings if checkpoint.tokenizer else {"kind": "none"},
        "chat_prefix": chat.prefix,
        "chat_suffix": chat.suffix,
        "torch_version": torch.__version__.split("+")[0],
    }
