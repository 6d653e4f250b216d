"""Reads a Llama from a GGUF file; quantised tensors are expanded to float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from models.export.checkpoint import ChatTemplate, Checkpoint
from models.export.errors import ExportError
from models.export.fields import Fields, id_list, reading
from models.export.llama import LlamaSettings
from models.export.rope import Rope, checked
from models.export.tokenizer import Tokenizer, from_gguf

TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class GgufFile(Checkpoint):
    def __init__(self, path: Path, with_tokenizer: bool):
        self.path = path
        try:
            self._reader = gguf.GGUFReader(path)
            self._fields = {name: field for name, field in self._reader.fields.items()}
        except OSError as error:
            raise ExportError(f"{path}: cannot be read: {error.strerror or error}") from None
        except Exception as error:  # the reader lets numpy's and struct's own errors through on a damaged file
            raise ExportError(f"{path}: not a complete GGUF file ({error})") from None
        with reading(path):
            self._tensors = {self._name(tensor.name): tensor for tensor in self._reader.tensors}
            self._check_size()
            self.settings = self._read_settings()
            self.source = f"GGUF file {path.name} ({self._value('general.name', 'unnamed')})"
            self.tokenizer = self._read_tokenizer() if with_tokenizer else None
            self.stop_ids = self._read_stop_ids()
            self.chat_template = self._read_chat_template() if self.tokenizer else None

    def names(self) -> set[str]:
        return set(self._tensors)

    def tensor(self, name: str) -> torch.Tensor:
        stored = self._tensors[name]
        try:
            data = gguf.dequantize(stored.data, stored.tensor_type).astype(np.float32, copy=False)
            data = data.reshape([int(size) for size in reversed(stored.shape)])
        except Exception as error:
            raise ExportError(f"{self.path}: tensor {stored.name} cannot be read ({error})") from None
        heads = {"q_proj": self.settings.heads, "k_proj": self.settings.kv_heads}.get(name.split(".")[-2])
        if heads is not None and data.shape[0] % (2 * heads) == 0:
            # GGUF keeps the two halves of a rotary pair in neighbouring rows, Hugging Face half a head apart.
            rows, columns = data.shape
            data = data.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        return torch.from_numpy(np.array(data, order="C"))  # a copy: the mapped file is read-only

    def _name(self, name: str) -> str:
        if name in TOP_NAMES:
            return TOP_NAMES[name]
        pieces = name.split(".")
        if len(pieces) == 4 and pieces[0] == "blk" and pieces[2] in LAYER_NAMES:
            return f"model.layers.{pieces[1]}.{LAYER_NAMES[pieces[2]]}.{pieces[3]}"
        return name

    def _value(self, name: str, default: Any = None) -> Any:
        field = self._fields.get(name)
        if field is None:
            return default
        try:
            return field.contents()
        except Exception as error:
            raise ExportError(f"{self.path}: the field {name} cannot be read ({error})") from None

    def _check_size(self) -> None:
        end = max((int(t.data_offset) + int(t.n_bytes) for t in self._reader.tensors), default=0)
        size = self.path.stat().st_size
        if end > size:
            raise ExportError(f"{self.path}: truncated: {size} bytes, but the tensors end at byte {end}")

    def _read_settings(self) -> LlamaSettings:
        architecture = self._value("general.architecture")
        if architecture != "llama":
            raise ExportError(f"{self.path}: general.architecture = {architecture!r} is not supported: llama is")
        keys = [
            "block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
            "attention.head_count_kv", "attention.key_length", "attention.layer_norm_rms_epsilon", "rope.freq_base",
            "rope.dimension_count", "expert_count", "attention.value_length",
        ]  # fmt: skip
        values = {f"llama.{key}": self._value(f"llama.{key}") for key in keys}
        fields = Fields(values, str(self.path))
        fields.refuse("llama.expert_count", (0,), "mixtures of experts are")
        hidden, heads = fields.integer("llama.embedding_length"), fields.integer("llama.attention.head_count")
        head_dim = fields.integer("llama.attention.key_length", max(1, hidden // heads))
        fields.refuse("llama.attention.value_length", (head_dim,), "values as wide as the keys are")
        fields.refuse("llama.rope.dimension_count", (head_dim,), "a rotation of the whole head is")
        return LlamaSettings(
            vocabulary=self._vocabulary(),
            hidden=hidden,
            intermediate=fields.integer("llama.feed_forward_length"),
            layers=fields.integer("llama.block_count"),
            heads=heads,
            kv_heads=fields.integer("llama.attention.head_count_kv", heads),
            head_dim=head_dim,
            norm_eps=fields.number("llama.attention.layer_norm_rms_epsilon"),
            max_positions=fields.integer("llama.context_length"),
            tied="lm_head.weight" not in self._tensors,
            rope=self._read_rope(fields),
        )

    def _vocabulary(self) -> int:
        embedding = self._tensors.get("model.embed_tokens.weight")
        if embedding is None:
            raise ExportError(f"{self.path}: the tensor token_embd.weight is missing")
        return int(embedding.shape[1])

    def _read_rope(self, fields: Fields) -> Rope:
        theta = fields.number("llama.rope.freq_base", 10000.0)
        if "rope_freqs.weight" in self._tensors:
            raise ExportError(
                f"{self.path}: the tensor rope_freqs.weight (scaled RoPE frequencies) is not supported; "
                "give the rule with --rope, for example --rope llama3:factor=8,low=1,high=4,original=8192"
            )
        kind = self._value("llama.rope.scaling.type", "none")
        factor = self._value("llama.rope.scaling.factor", self._value("llama.rope.scale_linear"))
        if kind == "none" and factor in (None, 1.0):
            return checked(Rope("plain", theta), str(self.path))
        if kind in ("linear", "none"):
            return checked(Rope("linear", theta, {"factor": float(factor or 1.0)}), str(self.path))
        raise ExportError(f"{self.path}: llama.rope.scaling.type = {kind!r} is not supported: none and linear are")

    def _read_tokenizer(self) -> Tokenizer | None:
        if self._value("tokenizer.ggml.model") is None:
            return None
        names = ["model", "pre", "tokens", "token_type", "merges", "add_bos_token", "bos_token_id"]
        values = {name: self._value(f"tokenizer.ggml.{name}") for name in names}
        return from_gguf(values, str(self.path))

    def _read_stop_ids(self) -> list[int]:
        ids = [self._value(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
        return id_list([id for id in ids if id is not None], f"{self.path}: tokenizer.ggml.eos_token_id")

    def _read_chat_template(self) -> ChatTemplate | None:
        template = self._value("tokenizer.chat_template")
        if not isinstance(template, str):
            return None
        tokens = self._value("tokenizer.ggml.tokens", [])

        def text(name: str) -> str:
            id = self._value(f"tokenizer.ggml.{name}_token_id")
            return tokens[id] if id is not None and 0 <= id < len(tokens) else ""

        return ChatTemplate(template, text("bos"), text("eos"))
