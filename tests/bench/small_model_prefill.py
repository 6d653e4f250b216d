"""Prefill of the shipped small model by `namm generate`, full cache beside the evolved memory, medians of one run.

    .venv/bin/python tests/bench/small_model_prefill.py [--repeats 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "tiny" / "tiny-llama.pt"
MEMORY = ROOT / "models" / "tiny" / "namm.h5"
LENGTHS = (2048, 4096, 8192)


def prefill(tokens: int, policy: list[str], threads: int) -> dict:
    words = range(3, 249)  # ids of words, past the special ones
    ids = random.Random(tokens).choices(words, k=tokens)
    command = [ROOT / "build" / "namm", "generate", "--model", MODEL, "--ids", ",".join(map(str, ids))]
    command += ["--max-new-tokens", "1", "--json", "--log-level", "error", "--threads", str(threads), *policy]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    policies = {"full": ["--policy", "full"], "namm": ["--memory", str(MEMORY)]}
    print("| tokens | " + " | ".join(f"{name}: tokens/s | cached" for name in policies) + " |")
    print("|---|" + "---|---|" * len(policies))
    for tokens in LENGTHS:
        runs = {name: [] for name in policies}
        for _ in range(options.repeats):  # in turn, so that noise meets both
            for name, arguments in policies.items():
                runs[name].append(prefill(tokens, arguments, options.threads))
        cells = []
        for results in runs.values():
            seconds = statistics.median(result["prefill_seconds"] for result in results)
            cells.append(f"{tokens / seconds:,.0f} | {results[0]['cached_tokens']:,.0f}")
        print(f"| {tokens} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
