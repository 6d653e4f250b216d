"""The Llama-shaped families: what each one's checkpoints and settings have beside a Llama's. One line a family in FAMILIES."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.export.errors import ExportError
from models.export.fields import Fields

Windows = Callable[[Fields, int], tuple[int, ...]]


def no_windows(fields: Fields, layers: int) -> tuple[int, ...]:
    fields.refuse("sliding_window", (0,), "a Llama has none")
    fields.refuse("use_sliding_window", (False,), "a Llama has no windows")
    fields.refuse("layer_types", (["full_attention"] * layers,), "a Llama has no windows")
    return (0,) * layers


def one_window(fields: Fields, layers: int) -> tuple[int, ...]:
    """The same sliding window in every layer, or none."""
    window = fields.integer("sliding_window") if fields.has("sliding_window") else 0
    stated = fields.values.get("sliding_window")
    fields.refuse("use_sliding_window", (window > 0,), f"sliding_window = {stated!r} stands beside it")
    kind = "sliding_attention" if window else "full_attention"
    fields.refuse("layer_types", ([kind] * layers,), f"{kind} in all {layers} layers is expected")
    return (window,) * layers


def upper_windows(fields: Fields, layers: int) -> tuple[int, ...]:
    """Qwen: a window where `use_sliding_window` says so, from layer `max_window_layers` on or as `layer_types` names them."""
    if not fields.flag("use_sliding_window", False):
        return (0,) * layers
    window = fields.integer("sliding_window", 4096)
    kinds = fields.values.get("layer_types")
    if kinds is None:
        first = fields.integer("max_window_layers", 28, least=0)
        return tuple(window if layer >= first else 0 for layer in range(layers))
    if not isinstance(kinds, list) or len(kinds) != layers or not set(kinds) <= {"full_attention", "sliding_attention"}:
        raise ExportError(f"{fields.where}: layer_types: full_attention or sliding_attention expected, {layers} of them")
    return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)


@dataclass(frozen=True)
class Family:
    gguf: str  # general.architecture of its GGUF files
    windows: Windows
    qkv_bias: bool = False
    qk_norm: bool = False
    fused: bool = False  # q, k, v in one tensor, gate and up in another
    gguf_permutes: bool = False  # GGUF files hold the halves of a rotary pair in neighbouring rows


FAMILIES: dict[str, Family] = {
    "llama": Family("llama", no_windows, gguf_permutes=True),
    "mistral": Family("llama", one_window, gguf_permutes=True),
    "qwen2": Family("qwen2", upper_windows, qkv_bias=True),
    "qwen3": Family("qwen3", upper_windows, qk_norm=True),
    "phi3": Family("phi3", one_window, fused=True),
}


def family_of(model_type: Any, where: str) -> Family:
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        raise ExportError(f"{where}: model_type = {model_type!r} is not supported; known are {', '.join(FAMILIES)}")
    return family


def family_of_gguf(architecture: Any, where: str) -> Family:
    for family in FAMILIES.values():
        if family.gguf == architecture:
            return family
    known = sorted({family.gguf for family in FAMILIES.values()})
    raise ExportError(f"{where}: general.architecture = {architecture!r} is not supported; known are {', '.join(known)}")
