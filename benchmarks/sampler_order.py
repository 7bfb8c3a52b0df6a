"""Orders of convergence: slopes of log error over log steps against the exact probability flow.

    python benchmarks/sampler_order.py

Float64, 40 to 320 equal steps in log-SNR from the end of the schedule to t = 1 (the closing jump to
clean data is first order for every method), for a Gaussian, whose flow has a closed form, and a
mixture of two, whose flow keeps every quantile. Writes benchmarks/sampler_order.csv.
"""

from __future__ import annotations

from functools import partial

import torch
from _table import write

from zoo.conformance.data import GAUSSIAN, MIXTURE
from zoo.conformance.walk import ORDER_STEPS, flow_errors, slope
from zoo.sampler import DDIM, PLMS, DPMSolver, DPMSolver3M, Euler, Heun, UniPC
from zoo.schedule import Cosine, Linear, ScaledLinear

SAMPLERS = {
    "DDIM": (DDIM, 1),
    "Euler": (Euler, 1),
    "PLMS": (PLMS, 2),
    "Heun": (Heun, 2),
    "DPM-Solver++ 2M": (DPMSolver, 2),
    "DPM-Solver++ 3M": (DPMSolver3M, 3),
    "UniPC order 1 bh2": (partial(UniPC, order=1), 1),
    "UniPC order 2 bh1": (partial(UniPC, variant="bh1"), 2),
    "UniPC order 2 bh2": (UniPC, 2),
    "UniPC order 3 bh2": (partial(UniPC, order=3), 3),
}


@torch.inference_mode()
def main() -> None:
    """Measures every deterministic sampler."""
    torch.set_num_threads(1)
    rows = []
    for schedule in (Linear(), Cosine(), ScaledLinear()):
        for data, name in ((GAUSSIAN, "Gaussian"), (MIXTURE, "mixture")):
            for sampler, (make, theory) in SAMPLERS.items():
                errors = flow_errors(make, data, schedule)
                found = {f"error_{n}": error for n, error in zip(ORDER_STEPS, errors, strict=True)}
                rows.append(
                    {
                        "schedule": type(schedule).__name__,
                        "data": name,
                        "sampler": sampler,
                        "theory": theory,
                        "slope": slope(errors),
                        **found,
                    }
                )
    write(__file__, rows)


if __name__ == "__main__":
    main()
