"""Rules for the frequencies of the rotary position embedding (RoPE)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from models.export.errors import ExportError
from models.export.fields import unknown_fields

# Numbers that each rule needs beside theta, then those that it may have, with their defaults.
RULES: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {
    "plain": ((), {}),
    "linear": (("factor",), {}),
    "static-ntk": (("factor", "alpha"), {}),
    "llama3": (("factor", "low", "high", "original"), {}),
    "yarn": (
        ("factor", "original"),
        {"beta_fast": 32.0, "beta_slow": 1.0, "attention": 0.0, "mscale": 0.0, "mscale_all_dim": 0.0, "truncate": 1.0},
    ),
    "dynamic-ntk": (("factor", "original", "length"), {}),
    "longrope": (("original", "length"), {"factor": 0.0, "attention": 0.0}),
    "factors": ((), {}),
}
MAY_BE_ZERO = ("attention", "mscale", "mscale_all_dim", "truncate")

# Rules whose frequencies depend on the length of the text: an archive holds those of one length.
FROZEN = ("dynamic-ntk", "longrope")


@dataclass(frozen=True)
class Rope:
    """A rule with its numbers. Frequencies are float32; `rounded` passes them through bfloat16."""

    rule: str = "plain"
    theta: float = 10000.0
    numbers: dict[str, float] = field(default_factory=dict)
    rounded: bool = False
    # A divisor for each frequency: of `factors`, and of `longrope` up to the original length and beyond it.
    divisors: tuple[float, ...] = ()
    long_divisors: tuple[float, ...] = ()

    def number(self, name: str) -> float:
        return self.numbers.get(name, RULES[self.rule][1].get(name, 0.0))

    def inverse_frequencies(self, rotary_dim: int) -> torch.Tensor:
        """float32 [rotary_dim / 2]: the angle of component k at position p is the float32 product p * frequency[k]."""
        n, theta = self.number, float(self.theta)
        if self.rule == "static-ntk":
            theta *= (n("alpha") * n("factor") - (n("alpha") - 1)) ** (rotary_dim / (rotary_dim - 2))
        elif self.rule == "dynamic-ntk":
            length = max(n("length"), n("original"))
            theta *= (n("factor") * length / n("original") - (n("factor") - 1)) ** (rotary_dim / (rotary_dim - 2))
        powers = theta ** (torch.arange(0, rotary_dim, 2, dtype=torch.int64).float() / rotary_dim)
        frequencies = 1.0 / powers
        if self.rule == "linear":
            frequencies = frequencies / n("factor")
        elif self.rule == "llama3":
            frequencies = _llama3(frequencies, n("factor"), n("low"), n("high"), n("original"))
        elif self.rule == "yarn":
            frequencies = self._yarn(powers, rotary_dim)
        elif self.rule in ("longrope", "factors"):
            frequencies = 1.0 / (torch.tensor(self._divisors(), dtype=torch.float32) * powers)
        if self.rounded:
            frequencies = frequencies.bfloat16().float()
        return frequencies

    def attention_factor(self) -> float:
        """What cosines and sines are multiplied with."""
        n = self.number
        if self.rule not in ("yarn", "longrope"):
            return 1.0
        if n("attention") > 0:
            return n("attention")
        if self.rule == "longrope":
            factor = n("factor")
            return math.sqrt(1 + math.log(factor) / math.log(n("original"))) if factor > 1 else 1.0

        def scale(weight: float) -> float:
            return 0.1 * weight * math.log(n("factor")) + 1.0 if n("factor") > 1 else 1.0

        if n("mscale") > 0 and n("mscale_all_dim") > 0:
            return scale(n("mscale")) / scale(n("mscale_all_dim"))
        return scale(1.0)

    def for_length(self, tokens: int) -> Rope:
        """The rule frozen for texts of `tokens`, where it depends on that."""
        if self.rule not in FROZEN:
            return self
        return Rope(
            self.rule,
            self.theta,
            self.numbers | {"length": float(tokens)},
            self.rounded,
            self.divisors,
            self.long_divisors,
        )

    def describe(self) -> dict[str, Any]:
        """For the contract."""
        return {
            "rule": self.rule,
            "theta": float(self.theta),
            **{name: float(value) for name, value in self.numbers.items()},
            **({"divisors": list(self._divisors())} if self.divisors else {}),
            **({"attention_factor": self.attention_factor()} if self.attention_factor() != 1 else {}),
            "frequencies": "bfloat16" if self.rounded else "float32",
        }

    def _divisors(self) -> tuple[float, ...]:
        long = self.rule == "longrope" and self.number("length") > self.number("original")
        return self.long_divisors if long else self.divisors

    def _yarn(self, powers: torch.Tensor, rotary_dim: int) -> torch.Tensor:
        """Slow components are interpolated, fast ones are not, those between are blended (arXiv 2309.00071)."""
        n, theta = self.number, float(self.theta)

        def component(rotations: float) -> float:
            return rotary_dim * math.log(n("original") / (rotations * 2 * math.pi)) / (2 * math.log(theta))

        low, high = component(n("beta_fast")), component(n("beta_slow"))
        if n("truncate") > 0:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, rotary_dim - 1)
        if low == high:
            high += 0.001
        ramp = torch.clamp((torch.arange(rotary_dim // 2, dtype=torch.float32) - low) / (high - low), 0, 1)
        kept = 1 - ramp
        return 1.0 / (n("factor") * powers) * (1 - kept) + 1.0 / powers * kept


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
    needed, possible = RULES[rope.rule]
    # The length that a rule is frozen for comes with the model's positions.
    missing = [name for name in needed if name not in rope.numbers and name != "length"]
    unknown = [name for name in rope.numbers if name not in needed and name not in possible]
    if missing or unknown:
        complaint = f"lacks {', '.join(missing)}" if missing else f"does not take {', '.join(unknown)}"
        raise ExportError(f"{where}: RoPE rule {rope.rule} {complaint}")
    if rope.rule in ("longrope", "factors") and not rope.divisors:
        raise ExportError(f"{where}: RoPE rule {rope.rule} needs a divisor for each frequency, which only a checkpoint can give")
    for name, value in (*rope.numbers.items(), ("theta", rope.theta)):
        if not (math.isfinite(value) and (value > 0 or (value == 0 and name in MAY_BE_ZERO))):
            raise ExportError(f"{where}: {name} = {value} must be a positive number")
    if rope.rule == "llama3" and not rope.numbers["high"] > rope.numbers["low"]:
        raise ExportError(f"{where}: high must be above low")
    if rope.rule == "static-ntk" and not rope.numbers["alpha"] * rope.numbers["factor"] > rope.numbers["alpha"] - 1:
        raise ExportError(f"{where}: alpha * factor - (alpha - 1) must be positive")
    if rope.rule == "yarn" and not (rope.theta > 1 and rope.number("beta_fast") > 0 and rope.number("beta_slow") > 0):
        raise ExportError(f"{where}: RoPE rule yarn needs theta above 1 and positive beta_fast and beta_slow")
    return rope


def checked_divisors(rope: Rope, rotary_dim: int, where: str) -> Rope:
    """`rope`, or an ExportError where it has not one positive divisor for each frequency."""
    for divisors in (rope.divisors, rope.long_divisors):
        good = len(divisors) == rotary_dim // 2 and all(math.isfinite(value) and value > 0 for value in divisors)
        if divisors and not good:
            raise ExportError(
                f"{where}: RoPE rule {rope.rule}: {len(divisors)} divisors: {rotary_dim // 2} positive numbers are expected"
            )
    return rope


def checked_frequencies(rope: Rope, rotary_dim: int, where: str) -> Rope:
    """`rope`, or an ExportError where its numbers, each possible by itself, give no frequencies together."""
    said = f"{where}: RoPE rule {rope.rule}: {rope.numbers}, theta {rope.theta}"
    try:
        values = [*rope.inverse_frequencies(rotary_dim).tolist(), rope.attention_factor()]
    except (ArithmeticError, ValueError) as error:
        raise ExportError(f"{said} give no frequencies ({error})") from None
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ExportError(f"{said} give frequencies or a factor that are not positive numbers")
    return rope


# Name of the rule in a Hugging Face config -> ours, and its numbers.
ORIGINAL = {"original_max_position_embeddings": "original"}
YARN = ("beta_fast", "beta_slow", "mscale", "mscale_all_dim")
HUGGING_FACE: dict[str, tuple[str, dict[str, str]]] = {
    "default": ("plain", {}),
    "linear": ("linear", {"factor": "factor"}),
    "dynamic": ("dynamic-ntk", {"factor": "factor"} | ORIGINAL),
    "llama3": ("llama3", {"factor": "factor", "low_freq_factor": "low", "high_freq_factor": "high"} | ORIGINAL),
    "yarn": ("yarn", {"factor": "factor", "attention_factor": "attention"} | ORIGINAL | {name: name for name in YARN}),
    "longrope": ("longrope", {"factor": "factor", "attention_factor": "attention"} | ORIGINAL),
    "su": ("longrope", {"factor": "factor", "attention_factor": "attention"} | ORIGINAL),  # its first name
}

# Beside the numbers of a rule: what every rule may have, read here or without effect on it, and what one kind has of its own.
OF_ANY_KIND = ("rope_type", "type", "rope_theta", "partial_rotary_factor", *ORIGINAL)
OF_KIND = {
    "yarn": ("truncate", "finetuned"),  # finetuned: of the published YaRN checkpoints, which rotate the same either way
    "longrope": ("short_factor", "long_factor"),
    "su": ("short_factor", "long_factor"),
}


def theta_of_config(config: dict[str, Any]) -> Any:
    settings = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    return settings.get("rope_theta", config.get("rope_theta", 10000.0))


def rope_of_config(config: dict[str, Any], max_positions: int, where: str) -> Rope:
    """Rule of a Hugging Face config: `rope_parameters` of transformers 5, or `rope_theta` with `rope_scaling`."""
    settings = dict(config.get("rope_scaling") or {})
    settings.update(config.get("rope_parameters") or {})
    kinds = [settings[key] for key in ("rope_type", "type") if key in settings]
    if not kinds and settings.keys() - {"partial_rotary_factor", "rope_theta"}:
        raise ExportError(f"{where}: rope_scaling = {settings} does not say its rope_type; --rope sets a rule of your choice")
    if len(set(kinds)) > 1:
        raise ExportError(f"{where}: rope_type = {kinds[0]!r} and type = {kinds[1]!r}: which one is meant?")
    kind = kinds[0] if kinds else "default"
    if kind not in HUGGING_FACE:
        raise ExportError(
            f"{where}: rope type '{kind}' is not supported; known are {', '.join(HUGGING_FACE)}. "
            "A rule of your choice can be set with --rope, for example --rope static-ntk:factor=4,alpha=2."
        )
    rule, names = HUGGING_FACE[kind]
    if unknown := unknown_fields(settings, [*OF_ANY_KIND, *names, *OF_KIND.get(kind, ())]):
        raise ExportError(
            f"{where}: rope_scaling or rope_parameters: not known of rope type {kind}: {unknown}. A field that this exporter "
            "does not know may change what the model computes; leave it out, or set a rule of your choice with --rope"
        )
    # Phi-3 has it beside the rule, where it goes before that within.
    if config.get("original_max_position_embeddings") is not None:
        settings["original_max_position_embeddings"] = config["original_max_position_embeddings"]
    numbers = {ours: float(settings[theirs]) for theirs, ours in names.items() if settings.get(theirs) is not None}
    if kind == "dynamic":
        numbers["original"] = float(max_positions)  # the length that it goes by is the model's own
    if rule in ("yarn", "longrope"):
        numbers.setdefault("original", float(max_positions))
        numbers.setdefault("factor", max_positions / numbers["original"])
    if kind == "yarn" and settings.get("truncate") is False:
        numbers["truncate"] = 0.0

    def divisors(name: str) -> tuple[float, ...]:
        if rule != "longrope":
            return ()
        values = settings.get(name)
        if not isinstance(values, list) or not values:
            raise ExportError(f"{where}: rope type longrope: {name}: a list of numbers is expected")
        return tuple(float(value) for value in values)

    short, long = divisors("short_factor"), divisors("long_factor")
    rope = Rope(rule, theta_of_config(config), numbers, divisors=short, long_divisors=long)
    return checked(rope, where).for_length(max_positions)
