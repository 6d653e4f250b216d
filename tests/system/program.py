"""Runs the program for the system tests. Standard library only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("NAMM_PROGRAM", ROOT / "build" / "namm"))
SMOKE = ROOT / "configs" / "run" / "smoke.yaml"
ARCHIVE = ROOT / "models" / "tiny" / "tiny-llama.pt"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


class Result:
    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- standard output\n{self.out}\n--- standard error\n{self.err}"


def namm(*arguments: object, cwd: Path | None = None, timeout: float = 600) -> Result:
    done = subprocess.run(
        [str(PROGRAM), *map(str, arguments)],
        cwd=cwd,
        env=ENVIRONMENT,
        timeout=timeout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def start(*arguments: object, cwd: Path | None = None) -> subprocess.Popen:
    return subprocess.Popen(
        [str(PROGRAM), *map(str, arguments)], cwd=cwd, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def log_rows(run: Path) -> list[dict]:
    file = run / "log.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]  # the last may be half written


def states(run: Path) -> list[tuple[int, str]]:
    return [(row["generation"], row["state_sha256"]) for row in log_rows(run)]


class Checks:
    """Counts checks; every failure is printed with what was seen."""

    def __init__(self) -> None:
        self.count = 0
        self.failures = 0

    def that(self, condition: bool, what: str, seen: object = "") -> bool:
        self.count += 1
        if not condition:
            self.failures += 1
            print(f"FAILED: {what}\n{seen}\n", flush=True)
        return condition

    def refused(self, result: Result, code: int, *texts: str) -> None:
        """The program ended with this exit code and one error line, which holds the texts."""
        errors = [line for line in result.err.splitlines() if line.startswith("namm: error: ")]
        self.that(result.code == code, f"exit code {code} for: {texts}", result)
        self.that(len(errors) == 1, f"one error line for: {texts}", result)
        for text in texts:
            self.that(text in result.err, f"the error says {text!r}", result)
        self.that("terminate called" not in result.err, "no crash", result)

    def finish(self) -> None:
        print(f"{self.count} checks, {self.failures} failed")
        sys.exit(1 if self.failures or self.count == 0 else 0)


class Scratch:
    """A temporary folder that goes away, unless NAMM_KEEP is set."""

    def __enter__(self) -> Path:
        self.path = Path(tempfile.mkdtemp(prefix="namm-system-"))
        return self.path

    def __exit__(self, *_: object) -> None:
        if not os.environ.get("NAMM_KEEP"):
            shutil.rmtree(self.path, ignore_errors=True)


def wait_for(condition, timeout: float = 240) -> bool:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


__all__ = [
    "ARCHIVE", "Checks", "PROGRAM", "ROOT", "Result", "SMOKE", "Scratch", "log_rows", "namm", "signal", "start", "states", "wait_for",
]
