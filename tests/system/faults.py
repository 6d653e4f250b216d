"""kill -9, Ctrl-C, worker counts and a full disk: the run ends in the same state as an undisturbed one."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

from program import SMOKE, Checks, Scratch, namm, signal, start, states, wait_for

checks = Checks()

# Both kinds of stage twice, so that every step from one to another is hit: a later evolve stage must not take the
# memory away that an earlier evaluate stage needs when the run resumes.
EVALUATE = (
    "base: {smoke}\nname: faults\nstages:\n"
    "  - evolve: {{tasks: [needle/hop, needle/stale], generations: 2, contexts_per_task: 1, fitness: {{cache_weight: 0.1}},"
    " validation: {{every: 2, contexts_per_task: 2, bias_shifts: [0, 0.1]}}, calibration: {{contexts_per_task: 1}}}}\n"
    "  - evaluate: {{tasks: [needle/hop, needle/stale], policies: [full, namm, h2o], contexts_per_task: 2}}\n"
    "  - evolve: {{tasks: [needle/hop], generations: 1, contexts_per_task: 1, validation: {{every: 1, contexts_per_task: 1}}}}\n"
    "  - evaluate: {{tasks: [needle/hop], policies: [full, namm], contexts_per_task: 2}}\n"
)


def table_of(run: Path) -> str:
    result = namm("table", run, "--format", "csv")
    return result.out if result.code == 0 else str(result)


def resumed(run: Path, config: Path) -> None:
    """Ends a killed run; killed before its directory was there, it is simply started."""
    result = namm("run", "--resume", run) if run.exists() else namm("run", config, "--out", run)
    checks.that(result.code == 0, f"{run.name} resumes", result)


def kills(folder: Path, config: Path, reference: Path, count: int, seconds: float) -> None:
    generator = random.Random(20261125)
    for number in range(count):
        run = folder / f"kill-{number}"
        moment = seconds * (number + generator.random()) / count
        process = start("run", config, "--out", run)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        resumed(run, config)
        checks.that(states(run) == states(reference), f"killed after {moment:.2f} s: same states", states(run))
        checks.that(table_of(run) == table_of(reference), f"killed after {moment:.2f} s: same table", table_of(run))
        shutil.rmtree(run)


def complete(run: Path) -> None:
    """A run that is over resumes to nothing, also where the last steps of each stage are missing."""
    before = (states(run), table_of(run))
    memory = (run / "memory.h5").read_bytes()
    checks.that(not list((run / "journal").iterdir()), "no journal is left", list((run / "journal").iterdir()))
    (run / "memory.h5").unlink()
    stray = run / "journal" / "stage_1_generation_0_test_0.journal"
    stray.write_bytes(b"")
    resumed(run, Path())
    checks.that((states(run), table_of(run)) == before, "a complete run stays as it is", states(run))
    checks.that((run / "memory.h5").read_bytes() == memory, "memory.h5 is that of the last stage again")
    checks.that(not stray.exists(), "a journal left behind is removed")


def threads(folder: Path, config: Path, reference: Path) -> None:
    for count in (2, 4):
        run = folder / f"threads-{count}"
        result = namm("run", config, "--out", run, "--threads", count)
        checks.that(result.code == 0, f"--threads {count} runs", result)
        checks.that(states(run) == states(reference), f"--threads {count}: same states", states(run))
        checks.that(table_of(run) == table_of(reference), f"--threads {count}: same table", table_of(run))


def interrupts(folder: Path, config: Path, reference: Path) -> None:
    run = folder / "interrupted"
    process = start("run", config, "--out", run, "--threads", 1)
    checks.that(wait_for(lambda: len(states(run)) >= 1), "the first generation is logged")
    process.send_signal(signal.SIGINT)
    code = process.wait(timeout=240)
    checks.that(code == 130, "Ctrl-C ends with exit code 130", code)
    checks.that(len(states(run)) < len(states(reference)) or not (run / "table.md").exists(), "Ctrl-C stops before the end")
    resumed(run, config)
    checks.that(states(run) == states(reference), "interrupted: same states", states(run))
    checks.that(table_of(run) == table_of(reference), "interrupted: same table", table_of(run))


def fill(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    for size in (65536, 4096, 1):
        try:
            while True:
                os.write(descriptor, b"\0" * size)
        except OSError:
            pass
    os.close(descriptor)


def full_disk(folder: Path, config: Path) -> None:
    if os.geteuid() != 0:
        print("SKIPPED: a full disk needs root (a small tmpfs is mounted)", flush=True)
        return
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        print("SKIPPED: this machine does not let root mount a tmpfs", flush=True)
        return
    try:
        ballast = disk / "ballast"
        run = disk / "run"
        longer = "stages.0.evolve.generations=12"
        undisturbed_longer = folder / "undisturbed-longer"
        namm("run", config, longer, "--out", undisturbed_longer)
        process = start("run", config, longer, "--out", run, "--threads", 1)
        checks.that(wait_for(lambda: len(states(run)) >= 1), "the run begins on the small disk")
        fill(ballast)
        code = process.wait(timeout=240)
        if code == 0:
            print("SKIPPED: the run was over before the disk was full", flush=True)
            return
        checks.that(code == 4, "a full disk ends with exit code 4", code)
        again = namm("run", "--resume", run)
        checks.that(again.code == 4 and "namm: error: " in again.err, "still full: said again", again)
        ballast.unlink()
        resumed(run, config)
        checks.that(states(run) == states(undisturbed_longer), "after the disk was full: same states", states(run))
        checks.that(table_of(run) == table_of(undisturbed_longer), "after the disk was full: same table", table_of(run))
    finally:
        subprocess.run(["umount", str(disk)], check=False)


parser = argparse.ArgumentParser()
parser.add_argument("--kills", type=int, default=10)
options = parser.parse_args()
with Scratch() as scratch:
    experiment = scratch / "faults.yaml"
    experiment.write_text(EVALUATE.format(smoke=SMOKE))
    undisturbed = scratch / "undisturbed"
    begin = time.monotonic()
    first = namm("run", experiment, "--out", undisturbed, "--threads", 1)
    duration = time.monotonic() - begin
    if checks.that(first.code == 0 and len(states(undisturbed)) == 3, "the undisturbed run works", first):
        print(f"undisturbed: {duration:.1f} s", flush=True)
        complete(undisturbed)
        kills(scratch, experiment, undisturbed, options.kills, duration)
        threads(scratch, experiment, undisturbed)
        interrupts(scratch, experiment, undisturbed)
        full_disk(scratch, experiment)
checks.finish()
