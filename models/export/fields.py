"""Typed reading of settings, with errors that name file and field."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.export.errors import ExportError

# What a contract may say (models/contract.cpp).
LARGEST = 2**31
MOST_LAYERS_OR_HEADS = 2**12


def unknown_fields(values: dict[str, Any], known: Collection[str]) -> str:
    """The fields that are not `known`, each with its value and the known name next to it, for an error; null says nothing."""
    said = []
    for name, value in values.items():
        if name in known or value is None:
            continue
        near = difflib.get_close_matches(name, known, 1, 0.85)
        text = repr(value)
        said.append(f"{name} = {text if len(text) <= 60 else text[:57] + '...'}{f' ({near[0]}?)' if near else ''}")
    return ", ".join(said)


class Fields:
    """A dictionary of settings from `where`."""

    def __init__(self, values: dict[str, Any], where: str):
        self.values, self.where = values, where

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def integer(self, name: str, default: int | None = None, least: int = 1, most: int = LARGEST) -> int:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ExportError(f"{self.where}: {name} = {value!r}: expected a whole number of at least {least}")
        if value > most:
            raise ExportError(f"{self.where}: {name} = {value!r:.60}: {most} is the most that is supported")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
            raise ExportError(f"{self.where}: {name} = {value!r}: expected a positive number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise ExportError(f"{self.where}: {name} = {value!r}: expected true or false")
        return value

    def refuse(self, name: str, allowed: tuple[Any, ...], why: str) -> None:
        """Raises where the field is there and has another value than the allowed ones."""
        if self.has(name) and self.values[name] not in allowed:
            raise ExportError(f"{self.where}: {name} = {self.values[name]!r} is not supported: {why}")

    def _value(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        if value is None:
            value = default
        if value is None:
            raise ExportError(f"{self.where}: the field {name} is missing")
        return value


@contextmanager
def reading(where: Path | str) -> Iterator[None]:
    """Turns what fails in a document that is not of the expected form into an ExportError that names it."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise ExportError(
            f"{where}: not of the expected form ({type(error).__name__}: {error}); is the file complete and unchanged?"
        ) from None


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path}: not valid JSON ({error}); is the file complete?") from None


def read_object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise ExportError(f"{path}: expected a JSON object")
    return value


def id_list(value: Any, where: str) -> list[int]:
    """A token id or a list of them."""
    ids = value if isinstance(value, list) else [value]
    if not all(isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in ids):
        raise ExportError(f"{where}: {value!r}: expected a token id or a list of token ids")
    return list(dict.fromkeys(ids))
