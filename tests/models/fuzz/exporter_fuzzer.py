"""libFuzzer (atheris) on what the exporter reads: exporter_fuzzer.py KIND [libFuzzer's options] [CORPUS], with a KIND of
exporter_input.FILES. Every input is imported or ends in an ExportError; anything else that is raised is a finding."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import atheris
import gguf.gguf_reader

with atheris.instrument_imports(include=["models.export"]):
    import models.export.command
    import models.export.gguf_reader
    import models.export.huggingface

from tests.models.fuzz.exporter_input import FILES, ExporterInput
from tests.models.support import ROOT

NUMBERS = (0, -1, 3, 2**31, 10**400, -1.5, 1e300)
OTHERS = (None, True, *NUMBERS, "", "x", "▁", "\ud800", "<0x41>", [], [[None]], [1, 2, 3], {}, {"id": {}})


def changed(document: Any, rng: random.Random) -> Any:
    """`document` with another value at one place, or with a part of it at another."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            walk(value[key])

    walk(document)
    if not places:
        return rng.choice(OTHERS)
    parent, key = rng.choice(places)
    other, other_key = rng.choice(places)
    value = rng.choice(OTHERS) if rng.random() < 0.6 else json.loads(json.dumps(other[other_key]))
    if isinstance(parent, dict) and rng.random() < 0.2:
        parent[str(other_key)] = value
    else:
        parent[key] = value
    return document


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """Half of the changes are made to the JSON value, which flipped bytes seldom leave one."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        try:
            content = json.dumps(changed(json.loads(data), rng)).encode()
            if len(content) <= most:
                return content
        except (ValueError, RecursionError):
            pass
    return atheris.Mutate(data, most)


def main() -> None:
    kind = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if kind not in FILES:
        sys.exit(f"usage: exporter_fuzzer.py {'|'.join(FILES)} [libFuzzer's options] [CORPUS]")
    atheris.instrument_func(gguf.gguf_reader.GGUFReader._get_field_parts)
    folder = ROOT / "build" / "fuzz" / "input" / kind  # Fuzz does not return, nothing of Python's would be cleaned up
    folder.mkdir(parents=True, exist_ok=True)
    target = ExporterInput(kind, folder)
    mutator = {"custom_mutator": mutate} if kind in ("tokenizer", "config") else {}
    atheris.Setup(sys.argv, target.imports, **mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
