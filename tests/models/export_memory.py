"""Peak memory and time of exporting a random checkpoint of several shards, in a process of its own.

    PYTHONPATH=. .venv/bin/python tests/models/export_memory.py [--layers 22] [--shards 8] [--limit 1.3]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.models.support import CONFIG, ROOT

CONFIG_OF_SHARDS = CONFIG | {
    "vocab_size": 8000,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
}

# VmHWM: a peak that begins with the process, which getrusage's does not.
MEASURED = """
import sys
import models.export.command, models.export.huggingface
from models.export.__main__ import main
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
code = main(["llama", "--from", sys.argv[1], "--out", sys.argv[2], "--quiet"])
print(before, peak())
sys.exit(code)
"""


def write_shards(folder: Path, config: dict[str, Any], shards: int) -> None:
    """Shard by shard: the whole checkpoint is never held."""
    hidden, width, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    shapes = {f"{name}.weight": (vocabulary, hidden) for name in ("model.embed_tokens", "lm_head")} | {"model.norm.weight": (hidden,)}
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        shapes |= {f"{name}self_attn.{x}_proj.weight": (hidden, hidden) for x in "qkvo"}
        shapes |= {f"{name}mlp.{x}_proj.weight": (width, hidden) for x in ("gate", "up")}
        shapes |= {f"{name}mlp.down_proj.weight": (hidden, width)}
        shapes |= {f"{name}{x}_layernorm.weight": (hidden,) for x in ("input", "post_attention")}
    folder.mkdir()
    names, places = list(shapes), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        mine = names[shard::shards]
        save_file({name: torch.randn(shapes[name]) * 0.02 for name in mine}, folder / file)
        places |= dict.fromkeys(mine, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "config.json").write_text(json.dumps(config))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--limit", type=float, default=1.1, help="peak beyond Python and LibTorch, over the archive's size")
    options = parser.parse_args()
    config = CONFIG_OF_SHARDS | {"num_hidden_layers": options.layers}
    with tempfile.TemporaryDirectory() as directory:
        folder, archive = Path(directory) / "model", Path(directory) / "model.pt"
        write_shards(folder, config, options.shards)
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, folder, archive], cwd=ROOT, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            print(done.stderr)
            return 1
        size = archive.stat().st_size
        before, peak = (int(value) * 1024 for value in done.stdout.split())
    ratio = (peak - before) / size
    print(
        f"{size / 1e9:.2f} GB in {options.shards} shards: peak {peak / 1e9:.2f} GB, {peak / size:.2f} of the archive; "
        f"{ratio:.2f} without the {before / 1e9:.2f} GB of Python and LibTorch before anything is read; {seconds:.1f} s"
    )
    return 0 if ratio <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
