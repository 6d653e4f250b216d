"""What averaging of the mean and re-evaluation do under noise: the sphere at n = 10 plus normal noise on every value, start
(1, ..., 1), step size 1, population 10. Prints log10 of the squared distance of the answer, mean of the seeds, as a Markdown
table.

    PYTHONPATH=. .venv/bin/python tests/evolution/measure/noise.py
"""

from __future__ import annotations

import argparse

import numpy as np

from evolution.optimizer import Optimizer

SETTINGS = {
    "plain": {},
    "average 50": {"average_mean": 50},
    "average 200": {"average_mean": 200},
    "re-evaluate 5": {"reevaluations": 5},
    "5, average 50": {"reevaluations": 5, "average_mean": 50},
    "5, average 200": {"reevaluations": 5, "average_mean": 200},
}


def distance(kind: str, noise: float, budget: int, seed: int, settings: dict) -> float:
    optimizer = Optimizer(np.ones(10), 1.0, seed, kind=kind, population=10, **settings)
    generator = np.random.default_rng(seed)
    evaluations = 0
    while evaluations < budget:
        x = optimizer.ask()
        evaluations += len(x)
        optimizer.tell(np.sum(x**2, axis=1) + noise * generator.normal(size=len(x)))
    return float(np.log10(np.sum(optimizer.mean**2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    print("| kind | noise | evaluations | " + " | ".join(SETTINGS) + " |")
    print("| --- " * (3 + len(SETTINGS)) + "|")
    for kind in ("cma-es", "sep-cma-es", "cr-fm-nes", "lm-ma-es"):
        for noise in (0.1, 0.5):
            for budget in (3000, 30000):
                cells = []
                for settings in SETTINGS.values():
                    values = [distance(kind, noise, budget, seed, settings) for seed in range(1, arguments.seeds + 1)]
                    cells.append(f"{np.mean(values):.2f}")
                print(f"| {kind} | {noise} | {budget:,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
