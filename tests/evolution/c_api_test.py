"""build/libnamm_evolution.so from Python: what it exports and links, that evolution/optimizer.py drives it, and its errors."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
import unittest.mock

import numpy as np

from evolution.optimizer import DEFAULT_LIBRARY, Optimizer

LIBRARY = os.environ.get("NAMM_EVOLUTION_LIBRARY", str(DEFAULT_LIBRARY))


class Library(unittest.TestCase):
    def test_exports_the_calls_of_the_header_and_nothing_else(self) -> None:
        lines = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], check=True, capture_output=True, text=True).stdout
        symbols = sorted(line.split()[-1] for line in lines.splitlines())
        calls = ("ask", "free", "mean", "new", "population", "sigma", "stop_reason", "tell")
        self.assertEqual(symbols, ["namm_last_error", *(f"namm_optimizer_{call}" for call in calls)])

    def test_links_no_libtorch(self) -> None:
        # Names only: an address in ldd's output can spell c10.
        lines = subprocess.run(["ldd", LIBRARY], check=True, capture_output=True, text=True).stdout.splitlines()
        libraries = [os.path.basename(line.split()[0]) for line in lines]
        self.assertIn("libc.so.6", libraries)
        for name in ("torch", "c10", "openblas", "mkl"):
            self.assertEqual([library for library in libraries if name in library], [])


class Binding(unittest.TestCase):
    def test_minimises_an_ellipsoid_with_every_kind(self) -> None:
        scales = np.array([1.0, 10.0, 100.0, 1000.0])
        for kind in ("auto", "cma-es", "sep-cma-es", "cr-fm-nes", "lm-ma-es"):
            optimizer = Optimizer(np.full(4, 3.0), sigma=1.0, seed=2, kind=kind, population=12)
            for _ in range(1000):
                optimizer.tell(np.sum(scales * optimizer.ask() ** 2, axis=1))
                if np.sum(optimizer.mean**2) < 1e-12:
                    break
            self.assertLess(np.sum(optimizer.mean**2), 1e-12, kind)
            self.assertEqual(optimizer.stop, "")

    def test_same_seed_same_numbers_whatever_else_runs(self) -> None:
        def run(steps: int, beside: bool) -> np.ndarray:
            optimizer, other = Optimizer(np.ones(5), 0.5, seed=0), Optimizer(np.ones(5), 0.5, seed=1)
            for _ in range(steps):
                optimizer.tell(np.sum(optimizer.ask() ** 2, axis=1))
                if beside:
                    other.tell(np.sum(other.ask() ** 2, axis=1))
            return optimizer.ask()

        np.testing.assert_array_equal(run(20, False), run(20, True))

    def test_senses_are_mirror_images(self) -> None:
        low, high = Optimizer(np.ones(3), 0.5, seed=4), Optimizer(np.ones(3), 0.5, seed=4, sense="maximize")
        for _ in range(10):
            low.tell(np.sum(low.ask() ** 2, axis=1))
            high.tell(-np.sum(high.ask() ** 2, axis=1))
        np.testing.assert_array_equal(low.mean, high.mean)

    def test_errors_are_texts(self) -> None:
        with self.assertRaisesRegex(ValueError, "kind = pso.*cma-es"):
            Optimizer(np.ones(3), 0.5, kind="pso")
        with self.assertRaisesRegex(ValueError, "sigma"):
            Optimizer(np.ones(3), 0.0)
        with self.assertRaisesRegex(ValueError, r"mean\[1\] = nan"):
            Optimizer([1.0, np.nan], 1.0)
        with self.assertRaisesRegex(ValueError, "n = 0"):
            Optimizer([], 1.0)
        with self.assertRaisesRegex(ValueError, "3 values for a population of 8"):
            Optimizer(np.ones(3), 0.5, population=8).tell([1, 2, 3])

    def test_no_call_gives_numbers_where_it_failed(self) -> None:
        optimizer = Optimizer(np.ones(3), 0.5, population=8)
        optimizer.tell([np.nan] * 3 + [1.0] * 5)  # leaves a note, which is no error of the calls that follow
        self.assertEqual(optimizer.ask().shape, (8, 3))
        handle, optimizer._handle = optimizer._handle, None
        try:
            for call in ("population", "mean", "sigma", "stop"):
                with self.assertRaisesRegex(ValueError, "NULL", msg=call):
                    getattr(optimizer, call)
            with self.assertRaisesRegex(ValueError, "NULL"):
                optimizer.ask()
            # Where the call for the members alone fails.
            with unittest.mock.patch.object(Optimizer, "population", 8), self.assertRaisesRegex(ValueError, "NULL"):
                optimizer.ask()
        finally:
            optimizer._handle = handle
        self.assertEqual(optimizer.mean.shape, (3,))

    def test_example_reaches_the_optimum(self) -> None:
        text = subprocess.run(
            [sys.executable, "-m", "evolution.optimizer"], check=True, capture_output=True, text=True
        ).stdout
        self.assertRegex(text, r"f = \d(\.\d+)?e-(09|1\d) after \d+ evaluations.*mean\[0\] (1\.0000|0\.9999)")


if __name__ == "__main__":
    unittest.main()
