"""Every sampler on a Gaussian with the known optimal denoiser, float64: how far from the truth.

    python benchmarks/gaussian.py

N(0.3, 0.5^2), started from the exact marginal at the grid's first time. Mean and standard deviation
are exact (unit vectors pushed through the affine steps), so what is left is the method's own error.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from _table import write

from zoo.sampler import (
    DDIM,
    PLMS,
    Ancestral,
    DPMSolver,
    DPMSolver3M,
    DPMSolverSDE,
    Euler,
    EulerAncestral,
    Heun,
    UniPC,
)
from zoo.sampler.grid import karras, trailing, uniform_log_snr, uniform_time
from zoo.schedule import Cosine, Linear, ScaledLinear

_oracle = Path(__file__).parents[1] / "tests/zoo/sampler/gaussian.py"
_spec = importlib.util.spec_from_file_location("gaussian_oracle", _oracle)
assert _spec is not None and _spec.loader is not None
oracle = importlib.util.module_from_spec(_spec)
sys.modules["gaussian_oracle"] = oracle
_spec.loader.exec_module(oracle)


def main() -> None:
    """Walks every combination."""
    data, rows = oracle.Gaussian(), []
    runs = [
        *((Ancestral, n, g) for n in (1, 10, 50, 250, 1000) for g in (trailing, uniform_time)),
        *((DDIM, n, g) for n in (1, 10, 50, 500) for g in (trailing, uniform_time)),
        *((Heun, n, g) for n in (1, 10, 25, 50) for g in (uniform_log_snr, uniform_time)),
        *((DPMSolver, n, g) for n in (1, 10, 20, 30) for g in (uniform_log_snr, uniform_time)),
        *((PLMS, n, g) for n in (10, 50) for g in (uniform_log_snr, trailing)),
        *((kind, n, karras) for kind in (Euler, EulerAncestral) for n in (10, 50, 250)),
        *((DPMSolver3M, n, uniform_log_snr) for n in (10, 20, 30)),
        *((DPMSolverSDE, n, uniform_log_snr) for n in (10, 25, 50)),
        *((UniPC, n, g) for n in (10, 20, 30) for g in (uniform_log_snr, uniform_time)),
    ]
    for schedule in (Linear(), Cosine(), ScaledLinear()):
        for kind, num_steps, grid in runs:
            sampler = kind(num_steps, grid)
            mean, variance = oracle.pushed(sampler, schedule, data)
            own_mean, own_variance = oracle.recursion(sampler, schedule, data)
            rows.append(
                {
                    "schedule": type(schedule).__name__,
                    "sampler": kind.__name__,
                    "grid": grid.__name__,
                    "num_steps": num_steps,
                    "mean_error_percent": 100 * (mean / data.mean - 1),
                    "std_error_percent": 100 * (variance**0.5 / data.std - 1),
                    "off_recursion": max(abs(mean - own_mean), abs(variance / own_variance - 1)),
                }
            )
    write(__file__, rows)


if __name__ == "__main__":
    main()
