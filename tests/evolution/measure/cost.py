"""Time and resident memory of ask + tell, each optimiser in a process of its own, as a Markdown table.

    OMP_NUM_THREADS=1 PYTHONPATH=. .venv/bin/python tests/evolution/measure/cost.py

Memory is the growth of the peak resident set over what Python, NumPy and the library take, the members that ask hands out
included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

CASES = [
    (4172, {"kind": "cma-es"}, 12),
    (4172, {"kind": "cma-es", "decompositions": True}, 0),
    (4172, {"kind": "sep-cma-es"}, 50),
    (4172, {"kind": "cr-fm-nes"}, 50),
    (4172, {"kind": "lm-ma-es"}, 50),
    (4172, {"kind": "random-search"}, 50),
    (20000, {"kind": "sep-cma-es"}, 30),
    (20000, {"kind": "cr-fm-nes"}, 30),
    (20000, {"kind": "lm-ma-es"}, 30),
    (20000, {"kind": "random-search"}, 30),
]


def peak_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def measure(n: int, settings: dict, generations: int) -> dict:
    import numpy as np

    from evolution.optimizer import Optimizer, library

    library()
    decompositions = settings.pop("decompositions", False)
    generator = np.random.default_rng(1)
    start = generator.normal(size=n)
    before = peak_kib()
    optimizer = Optimizer(start, 0.065, 1, **settings)
    seconds = []
    # Of the full matrix: until the first decomposition has happened.
    while len(seconds) < generations or (decompositions and max(seconds, default=0) < 2 and len(seconds) < 60):
        begin = time.perf_counter()
        x = optimizer.ask()
        inside = time.perf_counter() - begin
        values = np.einsum("ij,ij->i", x, x)
        begin = time.perf_counter()
        optimizer.tell(values)
        seconds.append(inside + time.perf_counter() - begin)
    return {
        "population": optimizer.population,
        "median": statistics.median(seconds),
        "longest": max(seconds),
        "generations": len(seconds),
        "mib": (peak_kib() - before) / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*json.loads(arguments.one))))
        return
    print("| n | optimiser | population | ask + tell, median | longest | memory |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        command = [sys.executable, __file__, "--one", json.dumps(case)]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        name = case[1]["kind"]
        if case[1].get("decompositions"):
            name += f", to its first decomposition (generation {result['generations'] - 1})"
        print(
            f"| {case[0]:,} | {name} | {result['population']} | {1e3 * result['median']:.1f} ms |"
            f" {1e3 * result['longest']:,.0f} ms | {result['mib']:,.1f} MiB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
