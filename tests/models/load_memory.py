"""Time and memory of loading an archive of about a gigabyte, and of the first decoded tokens.

    PYTHONPATH=. .venv/bin/python tests/models/load_memory.py [--layers 14] [--archive FILE.pt] [--limit 0.1]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.models.export_memory import CONFIG_OF_SHARDS, write_shards
from tests.models.support import export, run_archive


def write_archive(folder: Path, layers: int) -> Path:
    write_shards(folder / "model", CONFIG_OF_SHARDS | {"num_hidden_layers": layers}, 8)
    done = export(folder / "model", folder / "model.pt", "--quiet")
    assert done.returncode == 0, done.stderr
    return folder / "model.pt"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=14)
    parser.add_argument("--archive", type=Path, help="this one, instead of random weights")
    parser.add_argument("--limit", type=float, default=0.1, help="memory of the process's own, over the archive's size")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        archive = options.archive or write_archive(Path(directory), options.layers)
        size = archive.stat().st_size
        for _ in range(3):
            result = run_archive(archive, {"prompts": [{"ids": list(range(1, 33))}], "new_tokens": 32})
            loading = result["loading"]
            own = (loading["anonymous_bytes_after"] - loading["anonymous_bytes_before"]) / size
            print(
                f"{size / 1e9:.2f} GB loaded in {loading['seconds']:.2f} s: {own:.2f} of it as memory of the process's own, "
                f"{loading['file_bytes_after'] / size:.2f} as pages of the file, peak {loading['peak_bytes'] / size:.2f}; "
                f"prompt of 32 in {result['prefill_seconds']:.2f} s, 32 tokens in {result['decode_seconds']:.2f} s"
            )
    return 0 if own <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
