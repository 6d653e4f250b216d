"""Rules for the frequencies of the rotary position embedding (RoPE)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from models.export.errors import ExportError

# Numbers that each rule needs beside theta.
RULES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "linear": ("factor",),
    "static-ntk": ("factor", "alpha"),
    "llama3": ("factor", "low", "high", "original"),
}


@dataclass(frozen=True)
class Rope:
    """A rule with its numbers. Frequencies are float32; `rounded` passes them through bfloat16."""

    rule: str = "plain"
    theta: float = 10000.0
    numbers: dict[str, float] = field(default_factory=dict)
    rounded: bool = False

    def inverse_frequencies(self, head_dim: int) -> torch.Tensor:
        """float32 [head_dim / 2]: the angle of component k at position p is the float32 product p * frequency[k]."""
        n, theta = self.numbers, float(self.theta)
        if self.rule == "static-ntk":
            theta *= (n["alpha"] * n["factor"] - (n["alpha"] - 1)) ** (head_dim / (head_dim - 2))
        frequencies = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim)
        if self.rule == "linear":
            frequencies = frequencies / n["factor"]
        elif self.rule == "llama3":
            frequencies = _llama3(frequencies, n["factor"], n["low"], n["high"], n["original"])
        if self.rounded:
            frequencies = frequencies.bfloat16().float()
        return frequencies

    def describe(self) -> dict:
        """For the contract."""
        return {
            "rule": self.rule,
            "theta": float(self.theta),
            **{name: float(value) for name, value in self.numbers.items()},
            "frequencies": "bfloat16" if self.rounded else "float32",
        }


def _llama3(frequencies: torch.Tensor, factor: float, low: float, high: float, original: float) -> torch.Tensor:
    """Llama 3.1: slow frequencies are divided by `factor`, fast ones stay, those between are blended."""
    wavelengths = 2 * math.pi / frequencies
    smooth = (original / wavelengths - low) / (high - low)
    blended = (1 - smooth) * frequencies / factor + smooth * frequencies
    slow = torch.where(wavelengths > original / low, frequencies / factor, frequencies)
    between = (wavelengths >= original / high) & (wavelengths <= original / low)
    return torch.where(between, blended, slow)


def parse_rope(text: str, theta: float) -> Rope:
    """Rule of the command line, `static-ntk:factor=4,alpha=2`; `theta` is the model's own base."""
    rule, _, rest = text.partition(":")
    rounded, numbers = False, {}
    for item in filter(None, rest.split(",")):
        name, equals, value = item.partition("=")
        if name == "frequencies" and value in ("bfloat16", "float32"):
            rounded = value == "bfloat16"
            continue
        try:
            numbers[name] = float(value)
        except ValueError:
            raise ExportError(f"--rope {text}: '{item}' is not name=number (or frequencies=bfloat16)") from None
    theta = numbers.pop("theta", theta)
    return checked(Rope(rule, theta, numbers, rounded), f"--rope {text}")


def checked(rope: Rope, where: str) -> Rope:
    """`rope`, or an ExportError that names what is wrong with it."""
    if rope.rule not in RULES:
        raise ExportError(
            f"{where}: RoPE rule '{rope.rule}' is not supported; known are {', '.join(RULES)}. "
            "A rule of your choice can be set with --rope."
        )
    needed = RULES[rope.rule]
    missing = [name for name in needed if name not in rope.numbers]
    unknown = [name for name in rope.numbers if name not in needed]
    if missing or unknown:
        complaint = f"lacks {', '.join(missing)}" if missing else f"does not take {', '.join(unknown)}"
        raise ExportError(f"{where}: RoPE rule {rope.rule} {complaint}")
    for name, value in (*rope.numbers.items(), ("theta", rope.theta)):
        if not (math.isfinite(value) and value > 0):
            raise ExportError(f"{where}: {name} = {value} must be a positive number")
    if rope.rule == "llama3" and not rope.numbers["high"] > rope.numbers["low"]:
        raise ExportError(f"{where}: high must be above low")
    if rope.rule == "static-ntk" and not rope.numbers["alpha"] * rope.numbers["factor"] > rope.numbers["alpha"] - 1:
        raise ExportError(f"{where}: alpha * factor - (alpha - 1) must be positive")
    return rope


def rope_of_config(config: dict, where: str) -> Rope:
    """Rule of a Hugging Face config: `rope_parameters` of transformers 5, or `rope_theta` with `rope_scaling`."""
    settings = dict(config.get("rope_scaling") or {})
    settings.update(config.get("rope_parameters") or {})
    theta = settings.pop("rope_theta", config.get("rope_theta", 10000.0))
    kinds = [settings.pop(key) for key in ("rope_type", "type") if key in settings]
    rule = kinds[0] if kinds else "default"
    if rule == "default":
        return checked(Rope("plain", theta), where)
    names = {
        "linear": {"factor": "factor"},
        "llama3": {
            "factor": "factor",
            "low_freq_factor": "low",
            "high_freq_factor": "high",
            "original_max_position_embeddings": "original",
        },
    }.get(rule)
    if names is None:
        raise ExportError(
            f"{where}: rope type '{rule}' is not supported; known are default, linear, llama3. "
            "A rule of your choice can be set with --rope, for example --rope static-ntk:factor=4,alpha=2."
        )
    numbers = {ours: float(settings[theirs]) for theirs, ours in names.items() if settings.get(theirs) is not None}
    return checked(Rope(rule, theta, numbers), where)
