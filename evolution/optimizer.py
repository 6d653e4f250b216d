"""The optimisers of build/libnamm_evolution.so in Python, by ctypes and NumPy:

    optimizer = Optimizer([3.0] * 10, sigma=1.0, seed=1, kind="cma-es")
    while not optimizer.stop:
        x = optimizer.ask()                       # [population, n]
        optimizer.tell([function(row) for row in x])
    print(optimizer.mean, optimizer.stop)

`python -m evolution.optimizer` minimises the Rosenbrock function with it.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
from pathlib import Path

import numpy as np

_DOUBLES = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")
DEFAULT_LIBRARY = Path(__file__).resolve().parents[1] / "build" / "libnamm_evolution.so"


@functools.cache
def library(path: str | None = None) -> ctypes.CDLL:
    """The library at `path`, NAMM_EVOLUTION_LIBRARY, or build/."""
    loaded = ctypes.CDLL(str(path or os.environ.get("NAMM_EVOLUTION_LIBRARY", DEFAULT_LIBRARY)))
    handle, text = ctypes.c_void_p, ctypes.c_char_p
    signatures = {
        "namm_optimizer_new": (handle, [text, ctypes.c_int64, _DOUBLES, ctypes.c_double, ctypes.c_uint64]),
        "namm_optimizer_population": (ctypes.c_int64, [handle]),
        "namm_optimizer_ask": (None, [handle, _DOUBLES]),
        "namm_optimizer_tell": (ctypes.c_int, [handle, _DOUBLES]),
        "namm_optimizer_stop_reason": (text, [handle]),
        "namm_optimizer_mean": (ctypes.c_int, [handle, _DOUBLES]),
        "namm_optimizer_sigma": (ctypes.c_double, [handle]),
        "namm_optimizer_free": (None, [handle]),
        "namm_last_error": (text, []),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


class Optimizer:
    """Minimises; `settings` are the keys of a configuration's `evolution:` mapping and `sense`. Raises ValueError."""

    def __init__(self, mean, sigma: float, seed: int = 0, **settings) -> None:
        self._library = library()
        mean = np.ascontiguousarray(mean, dtype=np.float64)
        self.dimension = mean.size
        # JSON is YAML.
        self._handle = self._library.namm_optimizer_new(json.dumps(settings).encode(), mean.size, mean, sigma, seed)
        if not self._handle:
            raise ValueError(self._library.namm_last_error().decode())

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.namm_optimizer_free(self._handle)

    def _checked(self, result):
        """`result`, unless the call that gave it failed."""
        error = self._library.namm_last_error().decode()
        if error:
            raise ValueError(error)
        return result

    @property
    def population(self) -> int:
        """Members of the next `ask`; may change at a restart."""
        return self._checked(self._library.namm_optimizer_population(self._handle))

    def ask(self) -> np.ndarray:
        """The members of this generation [population, n]."""
        x = np.empty((self.population, self.dimension))
        self._checked(self._library.namm_optimizer_ask(self._handle, x))
        return x

    def tell(self, values) -> bool:
        """What they are worth [population]; NaN ranks last. True: it has stopped."""
        values = np.ascontiguousarray(values, dtype=np.float64)
        if values.shape != (self.population,):
            raise ValueError(f"{values.size} values for a population of {self.population}")
        result = self._library.namm_optimizer_tell(self._handle, values)
        if result < 0:
            raise ValueError(self._library.namm_last_error().decode())
        return result > 0

    @property
    def stop(self) -> str:
        """Why it has stopped; empty while it runs."""
        return self._checked(self._library.namm_optimizer_stop_reason(self._handle)).decode()

    @property
    def mean(self) -> np.ndarray:
        """The answer [n]."""
        mean = np.empty(self.dimension)
        self._checked(self._library.namm_optimizer_mean(self._handle, mean))
        return mean

    @property
    def sigma(self) -> float:
        return self._checked(self._library.namm_optimizer_sigma(self._handle))


def _rosenbrock(x: np.ndarray) -> float:
    return float(np.sum(100 * (x[:-1] ** 2 - x[1:]) ** 2 + (x[:-1] - 1) ** 2))


def main() -> None:
    optimizer = Optimizer(np.zeros(10), sigma=0.5, seed=1, kind="cma-es")
    evaluations = 0
    best = np.inf
    while best > 1e-8 and evaluations < 20000:
        values = [_rosenbrock(row) for row in optimizer.ask()]
        evaluations += len(values)
        best = min(best, *values)
        optimizer.tell(values)
    print(f"f = {best:.3g} after {evaluations} evaluations, sigma {optimizer.sigma:.3g}, mean[0] {optimizer.mean[0]:.6f}")


if __name__ == "__main__":
    main()
