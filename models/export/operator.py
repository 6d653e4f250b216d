"""Declares namm::attend to TorchScript, so that modules which call it can be scripted without the C++ library."""

from __future__ import annotations

from pathlib import Path

import torch

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "memory" / "attend.schema"

_library: torch.library.Library | None = None


def register_attend() -> None:
    """Registers the operator by the schema that the C++ side reads too; a second call does nothing.

    The CPU body only has the right result shape: attention needs the C++ session and is never run from Python.
    """
    global _library
    if _library is not None:
        return
    library = torch.library.Library("namm", "DEF")
    library.define(SCHEMA_FILE.read_text(encoding="utf-8").strip())
    library.impl("attend", lambda session, q, k, v, layer, scale, window_tokens: torch.empty_like(q), "CPU")
    _library = library
