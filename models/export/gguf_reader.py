"""Reads a model of the Llama kind from a GGUF file; quantised tensors are expanded to float32."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from models.export.checkpoint import ChatTemplate, Checkpoint
from models.export.errors import ExportError
from models.export.families import family_of_gguf
from models.export.fields import MOST_LAYERS_OR_HEADS, Fields, id_list, reading
from models.export.llama import LlamaSettings
from models.export.rope import Rope, checked, parse_rope
from models.export.sentence_piece import from_gguf as sentence_piece_from_gguf
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
    "attn_qkv": "self_attn.qkv_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class _Reader(gguf.GGUFReader):
    """The library's reader, which takes what lies behind the end of a file for empty values, however many of them are counted."""

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> np.ndarray:
        end = int(offset) + np.dtype(dtype).itemsize * int(count)
        if end > len(self.data):
            raise ValueError(f"truncated: {len(self.data)} bytes, but something in it ends at byte {end}")
        return super()._get(offset, dtype, count, override_order)


class GgufFile(Checkpoint):
    def __init__(self, path: Path, with_tokenizer: bool, rope: str | None = None):
        self.path = path
        try:
            self._reader = _Reader(path)
            self._fields = {name: field for name, field in self._reader.fields.items()}
        except OSError as error:
            raise ExportError(f"{path}: cannot be read: {error.strerror or error}") from None
        except Exception as error:  # the reader lets numpy's and struct's own errors through on a damaged file
            raise ExportError(f"{path}: not a complete GGUF file ({error})") from None
        with reading(path):
            self._architecture = self._value("general.architecture")
            self._family = family_of_gguf(self._architecture, str(path))
            self._tensors = {self._name(tensor.name): tensor for tensor in self._reader.tensors}
            self.settings = self._read_settings(rope)
            self.source = f"GGUF file {path.name} ({self._value('general.name', 'unnamed')})"
            self.tokenizer = self._read_tokenizer() if with_tokenizer else None
            self.stop_ids = self._read_stop_ids()
            self.chat_template = self._read_chat_template() if self.tokenizer else None

    def names(self) -> set[str]:
        return set(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(int(size) for size in reversed(self._tensors[name].shape))

    def tensor(self, name: str) -> torch.Tensor:
        data = self._expanded(name)
        heads = {"q_proj": self.settings.heads, "k_proj": self.settings.kv_heads}.get(name.split(".")[-2])
        if self._family.gguf_permutes and heads is not None and data.shape[0] % (2 * heads) == 0:
            # These files keep the two halves of a rotary pair in neighbouring rows, Hugging Face half a head apart.
            shape = data.shape
            data = data.reshape(heads, shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(shape)
        return torch.from_numpy(np.array(data, order="C"))  # a copy: the mapped file is read-only

    def _expanded(self, name: str) -> np.ndarray:
        """float32, whatever the tensor is stored as."""
        stored = self._tensors[name]
        try:
            return gguf.dequantize(stored.data, stored.tensor_type).astype(np.float32, copy=False).reshape(self.shape(name))
        except Exception as error:  # of numpy and of the library, which has types that it cannot expand
            raise ExportError(f"{self.path}: tensor {stored.name} cannot be read ({error})") from None

    def _name(self, name: str) -> str:
        if name in TOP_NAMES:
            return TOP_NAMES[name]
        pieces = name.split(".")
        if len(pieces) == 4 and pieces[0] == "blk" and pieces[2] in LAYER_NAMES:
            place = LAYER_NAMES[pieces[2]]
            if self._family.fused and pieces[2] == "ffn_up":
                place = "mlp.gate_up_proj"
            return f"model.layers.{pieces[1]}.{place}.{pieces[3]}"
        return name

    def _value(self, name: str, default: Any = None) -> Any:
        field = self._fields.get(name)
        if field is None:
            return default
        try:
            return field.contents()
        except Exception as error:
            raise ExportError(f"{self.path}: the field {name} cannot be read ({error})") from None

    def _read_settings(self, rope: str | None) -> LlamaSettings:
        names = [
            "block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
            "attention.head_count_kv", "attention.key_length", "attention.layer_norm_rms_epsilon", "attention.sliding_window",
            "rope.freq_base", "rope.dimension_count", "rope.scaling.type", "rope.scaling.factor", "rope.scale_linear",
            "rope.scaling.original_context_length", "rope.scaling.attn_factor", "expert_count", "attention.value_length",
        ]  # fmt: skip
        keys = {name: f"{self._architecture}.{name}" for name in names}
        fields = Fields({key: self._value(key) for key in keys.values()}, str(self.path))
        fields.refuse(keys["expert_count"], (0,), "mixtures of experts are")
        hidden = fields.integer(keys["embedding_length"])
        heads = fields.integer(keys["attention.head_count"], most=MOST_LAYERS_OR_HEADS)
        head_dim = fields.integer(keys["attention.key_length"], max(1, hidden // heads))
        fields.refuse(keys["attention.value_length"], (head_dim,), "values as wide as the keys are")
        layers = fields.integer(keys["block_count"], most=MOST_LAYERS_OR_HEADS)
        max_positions = fields.integer(keys["context_length"])
        window = fields.integer(keys["attention.sliding_window"], 0, least=0)
        return LlamaSettings(
            vocabulary=self._vocabulary(),
            hidden=hidden,
            intermediate=fields.integer(keys["feed_forward_length"]),
            layers=layers,
            heads=heads,
            kv_heads=fields.integer(keys["attention.head_count_kv"], heads, most=MOST_LAYERS_OR_HEADS),
            head_dim=head_dim,
            norm_eps=fields.number(keys["attention.layer_norm_rms_epsilon"]),
            max_positions=max_positions,
            tied="lm_head.weight" not in self._tensors,
            rope=self._read_rope(fields, keys, max_positions, rope).for_length(max_positions),
            rotary_dim=fields.integer(keys["rope.dimension_count"], head_dim),
            windows=(window,) * layers,
            qkv_bias=self._family.qkv_bias,
            qk_norm=self._family.qk_norm,
            fused=self._family.fused,
        )

    def _vocabulary(self) -> int:
        embedding = self._tensors.get("model.embed_tokens.weight")
        if embedding is None:
            raise ExportError(f"{self.path}: the tensor token_embd.weight is missing")
        return int(embedding.shape[1])

    def _divisors(self, name: str) -> tuple[float, ...]:
        tensor = f"{name}.weight"
        if tensor not in self._tensors:
            return ()
        return tuple(float(value) for value in self._expanded(tensor).flatten())

    def _read_rope(self, fields: Fields, keys: dict[str, str], max_positions: int, chosen: str | None) -> Rope:
        def number(name: str, default: float | None = None) -> float:
            return fields.number(keys[name], default)

        where, theta = str(self.path), number("rope.freq_base", 10000.0)
        if chosen is not None:
            return parse_rope(chosen, theta)
        kind = self._value(keys["rope.scaling.type"], "none")
        attention = {"attention": number("rope.scaling.attn_factor")} if fields.has(keys["rope.scaling.attn_factor"]) else {}
        short, long = self._divisors("rope_factors_short"), self._divisors("rope_factors_long")
        if short or long:
            original = number("rope.scaling.original_context_length", float(max_positions))
            numbers = {"original": original, "factor": max_positions / original} | attention
            return checked(Rope("longrope", theta, numbers, divisors=short, long_divisors=long), where)
        if divisors := self._divisors("rope_freqs"):
            return checked(Rope("factors", theta, divisors=divisors), where)
        factor = number("rope.scaling.factor", number("rope.scale_linear", 1.0))
        if kind == "yarn":
            original = number("rope.scaling.original_context_length", float(max_positions))
            if attention:
                # There it comes on top of the paper's own factor.
                attention["attention"] *= 1 + 0.1 * math.log(factor) if factor > 1 else 1.0
            return checked(Rope("yarn", theta, {"factor": factor, "original": original} | attention), where)
        if kind == "linear" or (kind == "none" and factor != 1):
            return checked(Rope("linear", theta, {"factor": factor}), where)
        if kind == "none":
            return checked(Rope("plain", theta), where)
        raise ExportError(f"{where}: {keys['rope.scaling.type']} = {kind!r} is not supported: none, linear and yarn are")

    def _read_tokenizer(self) -> Tokenizer | None:
        if self._value("tokenizer.ggml.model") is None:
            return None
        names = ["model", "pre", "tokens", "scores", "token_type", "merges", "add_bos_token", "add_space_prefix", "bos_token_id"]
        values = {name: self._value(f"tokenizer.ggml.{name}") for name in names}
        if values["model"] == "llama":
            return sentence_piece_from_gguf(values, str(self.path))
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
