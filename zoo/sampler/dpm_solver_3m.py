"""DPM-Solver++ 3M: the third-order multistep solver (arXiv:2211.01095; k-diffusion's 3M)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from zoo.draw import Draw
from zoo.records import Level, Predict
from zoo.sampler.grid import Grid, uniform_log_snr
from zoo.sampler.sampler import Sampler
from zoo.schedule import NoiseSchedule


class DPMSolver3M(Sampler):
    """The exponential integral of the parabola through the last three x0, over half log-SNR.

    One network evaluation per step. The first step is first order, the second second, as is the one
    after a step without finite length; the last, to clean data, returns x0. Published code (and
    diffusers') takes half of the second difference's weight, phi_3 where Taylor's expansion has
    2 phi_3, and is second order: ``DiffusersScheduler`` runs that one.
    """

    order = 3

    def __init__(self, num_steps: int = 20, grid: Grid = uniform_log_snr) -> None:
        super().__init__(num_steps, grid)

    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        history: list[Tensor] = []  # earlier x0, the newest first
        lengths: list[float] = []  # of the steps between them
        for now, to in pairwise(levels):
            x0 = predict(x, now).x0
            h = 0.5 * (to.log_snr - now.log_snr)
            x = x * (to.sigma / now.sigma)
            weights = newton_weights(h, lengths)
            for term, weight in zip([x0, *history], weights, strict=False):
                x.add_(term, alpha=to.alpha * weight)
            history = [x0, *history][:2] if math.isfinite(h) else []
            lengths = [h, *lengths][:2] if math.isfinite(h) else []
            yield x


def newton_weights(h: float, lengths: list[float]) -> list[float]:
    """Weights of the newest x0 and the earlier ones in the integral of e^-(h - tau) x0(tau).

    The integral over a step of length h of Newton's polynomial through up to three predictions.

    Args:
        h: the step in half log-SNR; infinite to clean data, where the newest x0 is all.
        lengths: of the earlier steps, the newest first; one weight more than lengths comes back.

    >>> [round(weight, 6) for weight in newton_weights(0.1, [0.1, 0.1])]
    [0.183982, -0.129265, 0.040445]
    """
    q0 = -math.expm1(-h)
    if not lengths or not math.isfinite(h):
        return [q0]
    q1 = h - q0  # the integral of e^-(h - tau) tau
    slope = q1 / lengths[0]
    if len(lengths) == 1:
        return [q0 + slope, -slope]
    q2 = h * h - 2 * q1  # and of e^-(h - tau) tau^2
    bend = (q2 + lengths[0] * q1) / (lengths[0] + lengths[1])
    newer, older = bend / lengths[0], bend / lengths[1]
    return [q0 + slope + newer, -slope - newer - older, older]
