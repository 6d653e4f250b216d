"""A memory exported to TorchScript gives, in Python by torch.jit.load alone, the scores and decisions of the C++ policy over
several updates with eviction. The C++ side (tests/experiments/torchscript_memory_test) writes the modules and its own numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

folder = Path(sys.argv[1])
tolerance = float(sys.argv[2])
cases = sorted(folder.glob("*.pt"))
compared = 0
for file in cases:
    if file.name.startswith("numbers-"):
        continue
    memory = torch.jit.load(str(file))
    numbers = dict(torch.jit.load(str(folder / f"numbers-{file.name}")).named_buffers())
    state: dict[str, torch.Tensor] = {}
    for update in range(int(numbers["updates"])):
        attention, positions = numbers[f"attention_{update}"], numbers[f"positions_{update}"]
        scores, state = memory.forward(attention, positions, state)
        valid = positions >= 0
        difference = (scores - numbers[f"scores_{update}"])[valid].abs() / (1 + numbers[f"scores_{update}"][valid].abs())
        assert float(difference.max()) <= tolerance, f"{file.name}, update {update}: scores differ by {float(difference.max())}"
        keep, state = memory.keep(scores, state)
        assert torch.equal(keep, numbers[f"keep_{update}"].bool()), f"{file.name}, update {update}: decisions differ"
        compared += int(valid.sum())
print(f"{len(cases) // 2} memories, {compared} scores and decisions compared")
assert compared > 0
