"""Our optimisers, through build/libnamm_evolution.so, against pycma on functions of COCO in one process: evaluations to 1e-8.

    PYTHONPATH=. .venv/bin/python tests/evolution/measure/coco.py      # the table of evolution/RESULTS.md
    ... coco.py --dimensions 5,10 --instances 1-5 --check loose        # what ctest runs
    ... coco.py --suite bbob-largescale --functions 2 --dimensions 160,320 --kind sep-cma-es --alone
    ... coco.py --suite bbob-largescale --functions 2 --dimensions 320 --kind sep-cma-es --restarts none --pycma csa-path

Both start at the same point, uniform in [-4, 4]^n, with step size 2 and default population, and restart by BIPOP uniformly
within 4 of it. A run ends at the target or after --budget times n evaluations. The median counts a missed target as infinite;
ERT is the evaluations of all runs over the number of successes; p is Fisher's exact probability that success is as rare as
ours or rarer.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import statistics
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np

from evolution.optimizer import Optimizer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # no matplotlib
    import cma
import cocoex

SIGMA = 2.0
RADIUS = 4.0
FAIR = (0.8, 1.25)
LOOSE = (0.6, 1.67)  # of one function with five instances


class Ended(Exception):
    """The target is reached or the budget is used up."""


class Run:
    """One problem with its budget; counts, and ends the optimiser by an exception."""

    def __init__(self, problem, budget: int) -> None:
        self.problem, self.budget, self.evaluations = problem, budget, 0

    def __call__(self, x: np.ndarray) -> float:
        value = self.problem(x)
        self.evaluations += 1
        if self.problem.final_target_hit or self.evaluations >= self.budget:
            raise Ended
        return value


def seed_of(name: str) -> int:
    return zlib.crc32(name.encode())


def start_of(problem) -> np.ndarray:
    return np.random.default_rng(seed_of(problem.id)).uniform(-RADIUS, RADIUS, problem.dimension)


def run_ours(run: Run, kind: str, restarts: str) -> None:
    problem = run.problem
    settings = {"kind": kind} if restarts == "none" else {"kind": kind, "restarts": restarts, "restart_radius": RADIUS}
    optimizer = Optimizer(start_of(problem), SIGMA, seed_of("ours " + problem.id), **settings)
    while not optimizer.tell([run(x) for x in optimizer.ask()]):
        pass


class PathInCoordinatesOfTheProblem(cma.CMAEvolutionStrategy):
    """pycma with CMA_diagonal keeps p_c in units of the deviations of the day of each step; here it moves to those of today."""

    def tell(self, *arguments, **settings):
        before = self.sigma_vec.scaling * np.ones(self.N)
        super().tell(*arguments, **settings)
        self.pc = self.pc * before / self.sigma_vec.scaling


def run_pycma(run: Run, kind: str, restarts: str, variant: str) -> None:
    problem = run.problem
    first = start_of(problem)
    generator = np.random.default_rng(seed_of("restarts " + problem.id))
    starts = 0

    def start() -> np.ndarray:
        nonlocal starts
        starts += 1
        return first if starts == 1 else first + generator.uniform(-RADIUS, RADIUS, len(first))

    options = {"seed": seed_of("pycma " + problem.id) % 2**31 + 1, "verbose": -9, "maxfevals": np.inf}
    if kind == "sep-cma-es":
        options["CMA_diagonal"] = True
    if variant != "default":
        options["AdaptSigma"] = cma.sigma_adaptation.CMAAdaptSigmaCSA
    if variant == "csa-path":
        strategy = PathInCoordinatesOfTheProblem(first, SIGMA, options)
        while not strategy.stop():
            x = strategy.ask()
            strategy.tell(x, [run(row) for row in x])
    elif restarts == "none":
        cma.fmin2(run, first, SIGMA, options)
    else:
        cma.fmin2(run, start, SIGMA, options, restarts=9, bipop=restarts == "bipop")


def evaluations_of(problem, optimiser, budget: int, kind: str, restarts: str) -> tuple[int, bool]:
    run = Run(problem, budget)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimiser(run, kind, restarts)
    except Ended:
        pass
    return run.evaluations, bool(problem.final_target_hit)


def problems_of(suite: str, function: int, dimension: int, instances: str):
    options = f"dimensions: {dimension} function_indices: {function} instance_indices: {instances}"
    return cocoex.Suite(suite, "", options)


def summary(runs: list[tuple[int, bool]]) -> dict:
    successes = sum(hit for _, hit in runs)
    counts = [count if hit else math.inf for count, hit in runs]
    return {
        "runs": len(runs),
        "successes": successes,
        "median": statistics.median(counts),
        "ert": sum(count for count, _ in runs) / successes if successes else math.inf,
    }


def fisher_lower(ours: dict, theirs: dict) -> float:
    """Probability of at most our successes, when all successes are dealt to both sides by chance."""
    total, hits, runs = ours["runs"] + theirs["runs"], ours["successes"] + theirs["successes"], ours["runs"]
    ways = {k: math.comb(hits, k) * math.comb(total - hits, runs - k) for k in range(min(hits, runs) + 1)}
    return sum(count for k, count in ways.items() if k <= ours["successes"]) / sum(ways.values())


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def show(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "-"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="bbob", choices=("bbob", "bbob-largescale"))
    parser.add_argument("--functions", type=numbers, default=[1, 2, 8, 9, 10, 11, 12, 14])
    parser.add_argument("--dimensions", type=numbers, default=[5, 10, 20])
    parser.add_argument("--instances", default="1-15")
    parser.add_argument("--kind", default="cma-es")
    parser.add_argument("--restarts", default="bipop", choices=("none", "ipop", "bipop"))
    parser.add_argument("--budget", type=float, default=1e4, help="evaluations over n")
    parser.add_argument("--alone", action="store_true", help="do not run pycma")
    parser.add_argument(
        "--pycma",
        default="default",
        choices=("default", "csa", "csa-path"),
        help="csa: step size by path length also where pycma takes two-point adaptation (diagonal, n >= 300);"
        " csa-path: p_c in the coordinates of the problem besides, one run without restarts",
    )
    parser.add_argument("--check", choices=("fair", "loose"), help="exit 1 when a ratio or a success count is out of range")
    parser.add_argument("--json", type=Path, help="write all counts here")
    arguments = parser.parse_args()
    if arguments.pycma == "csa-path" and (arguments.kind != "sep-cma-es" or arguments.restarts != "none"):
        parser.error("--pycma csa-path needs --kind sep-cma-es --restarts none")
    run_theirs = functools.partial(run_pycma, variant=arguments.pycma)

    begin = time.monotonic()
    rows, failures, logarithms = [], [], []
    print(f"pycma {cma.__version__}, cocoex {cocoex.__version__}")
    print(f"suite {arguments.suite}, {arguments.kind}, restarts {arguments.restarts}")
    print("| n | f | median ours | pycma | ratio | successes ours | pycma | p | ERT ours | pycma |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for dimension in arguments.dimensions:
        for function in arguments.functions:
            counts = {}
            for name, optimiser in (("ours", run_ours), ("pycma", run_theirs))[: 1 if arguments.alone else 2]:
                budget = int(arguments.budget * dimension)
                counts[name] = [
                    evaluations_of(problem, optimiser, budget, arguments.kind, arguments.restarts)
                    for problem in problems_of(arguments.suite, function, dimension, arguments.instances)
                ]
            rows.append({"dimension": dimension, "function": function, **counts})
            ours = summary(counts["ours"])
            if arguments.alone:
                print(
                    f"| {dimension} | f{function} | {show(ours['median'])} | | | {ours['successes']}/{ours['runs']} | | |"
                    f" {show(ours['ert'])} | |",
                    flush=True,
                )
                continue
            theirs = summary(counts["pycma"])
            # Neither reached it in half of its runs: nothing to compare but the successes.
            equal = math.isinf(ours["median"]) and math.isinf(theirs["median"])
            ratio, p = 1.0 if equal else ours["median"] / theirs["median"], fisher_lower(ours, theirs)
            print(
                f"| {dimension} | f{function} | {show(ours['median'])} | {show(theirs['median'])} | {ratio:.2f} |"
                f" {ours['successes']}/{ours['runs']} | {theirs['successes']}/{theirs['runs']} | {p:.2f} |"
                f" {show(ours['ert'])} | {show(theirs['ert'])} |",
                flush=True,
            )
            low, high = FAIR if arguments.check != "loose" else LOOSE
            if not low <= ratio <= high:
                failures.append(f"n {dimension}, f{function}: median ratio {ratio:.2f} outside {low} to {high}")
            if p <= 0.05:
                failures.append(f"n {dimension}, f{function}: {ours['successes']} successes against {theirs['successes']}")
            logarithms.append(math.log(ratio) if ratio > 0 else -math.inf)
    if logarithms:
        together = math.exp(statistics.fmean(logarithms))
        print(f"geometric mean of the ratios {together:.3f}; {time.monotonic() - begin:.0f} s")
        if not FAIR[0] <= together <= FAIR[1]:
            failures.append(f"geometric mean of the ratios {together:.3f} outside {FAIR[0]} to {FAIR[1]}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows))
    for failure in failures:
        print("out of range:", failure)
    return 1 if failures and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
