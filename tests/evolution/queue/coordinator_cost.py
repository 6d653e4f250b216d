"""What a generation of a run on the queue costs beside its items, which take no time here: wall clock of a generation of the
coordinator, its processor time and its peak memory, as a Markdown table.

    PYTHONPATH=. .venv/bin/python tests/evolution/queue/coordinator_cost.py [--generations 20]

Real processes and a real server; two workers that fetch every candidate and look at one number of it. Median over the generations
after the first; from one row of log.jsonl to the next, checkpoint included. Memory is the peak resident set of the coordinator
less that of a run with six parameters."""

import argparse
import os
import statistics
import sys
import time
import unittest
from pathlib import Path

from tests.evolution.queue.processes import QueueTest

OPTIONS = argparse.Namespace(generations=20)
CASES = [
    (4172, "cma-es"),
    (4172, "cr-fm-nes"),
    (4172, "sep-cma-es"),
    (20000, "cr-fm-nes"),
    (20000, "sep-cma-es"),
    (20000, "lm-ma-es"),
]
POPULATION = 32


class Cost(QueueTest):
    def test_cost_of_a_generation(self):
        for number in range(2):
            self.worker(name=f"worker {number}", cheap=1)
        base = self.measure(6, "cr-fm-nes")[3]
        print("| n | optimiser | generation, median | longest | processor time a generation | memory |")
        print("|---|---|---|---|---|---|")
        for dimension, kind in CASES:
            median, longest, processor, memory = self.measure(dimension, kind)
            cells = [f"{dimension:,}", kind, f"{median * 1000:.0f} ms", f"{longest * 1000:.0f} ms", f"{processor * 1000:.0f} ms"]
            print("| " + " | ".join(cells) + f" | {(memory - base) / 1024:.1f} MiB |", flush=True)

    def measure(self, dimension, kind):
        """Seconds of a generation, of the longest, processor time of one, KiB at the peak."""
        name = f"{kind}-{dimension}"
        coordinator = self.coordinator(
            run=name, out=self.folder / name, kind=kind, dimension=dimension, population=POPULATION, members_per_item=4,
            samples_per_item=3, validate_every=0, generations=OPTIONS.generations + 1, lease=30, step=1,
        )
        process = Path("/proc") / str(coordinator.process.pid)
        seconds = []
        for generation in range(OPTIONS.generations + 1):
            begin = time.perf_counter()
            self.assertIn("generation", coordinator.process.stdout.readline(), coordinator.log())
            seconds.append(time.perf_counter() - begin)
            if generation == 0:
                used = self.processor_seconds(process)
            if generation == OPTIONS.generations:
                used = self.processor_seconds(process) - used
                (peak,) = (int(line.split()[1]) for line in (process / "status").read_text().splitlines() if "VmHWM" in line)
            coordinator.answer()
        self.assertEqual(coordinator.finish()[1], 0, coordinator.log())
        return statistics.median(seconds[1:]), max(seconds[1:]), used / OPTIONS.generations, peak

    def processor_seconds(self, process):
        fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=20)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=0)
