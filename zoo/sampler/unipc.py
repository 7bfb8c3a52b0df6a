"""UniPC: a unified predictor-corrector (arXiv:2302.04867)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.draw import Draw
from zoo.records import Level, Predict
from zoo.sampler.grid import Grid, uniform_log_snr
from zoo.sampler.sampler import Sampler
from zoo.schedule import NoiseSchedule

_VARIANTS = ("bh1", "bh2")


class UniPC(Sampler):
    """Multistep in x0 over half log-SNR; each prediction also corrects the step that led to it.

    One network evaluation per step: the prediction at the next level serves the corrector (one
    order more) and then the next predictor; the last step is not corrected. Early steps have the
    order that their history allows, the last ones to clean data at most as many as are left.

    Args:
        num_steps: the number of steps.
        grid: which times are visited.
        order: of the predictor, 1 to 3; the method's with the corrector is one more, its last step
            and its beginning apart.
        variant: the function B(h) of the paper's section 3.1: "bh1" is h, "bh2" is e^h - 1.

    Raises:
        ValueError: there is no such order or variant.
    """

    def __init__(
        self,
        num_steps: int = 20,
        grid: Grid = uniform_log_snr,
        order: int = 2,
        variant: str = "bh2",
    ) -> None:
        super().__init__(num_steps, grid)
        if order not in (1, 2, 3):
            raise ValueError(f"the order of UniPC is 1, 2 or 3, got {order}")
        if variant not in _VARIANTS:
            raise ValueError(f"the variants of UniPC are {' and '.join(_VARIANTS)}, got {variant}")
        self.order, self.variant = order, variant

    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        table = _table(tuple(levels), self.order, self.variant)
        history: list[Tensor] = []  # x0 predictions, the newest first
        base, corrector = x, None
        for (now, _), weights in zip(pairwise(levels), table, strict=True):
            x0 = predict(x, now).x0
            history = [x0, *history[: self.order]]
            if corrector is not None:
                x = base
                for term, weight in zip(history, corrector, strict=False):
                    x.add_(term, alpha=weight)
            base = (x * weights.x).add_(x0, alpha=weights.x0)
            corrector = weights.corrector
            x = torch.add(base, x0, alpha=weights.predictor[0])
            for term, weight in zip(history[1:], weights.predictor[1:], strict=False):
                x.add_(term, alpha=weight)
            yield x


class _Weights(NamedTuple):
    """One step: x_to = x x + x0 x0 + the sum of ``predictor``, later of ``corrector``, and x0s."""

    x: float
    x0: float
    predictor: list[float]  # of this level's x0 and the earlier ones, the newest first
    corrector: list[float] | None  # of the next level's x0, this one's and the earlier ones


@lru_cache(maxsize=16)
def _table(levels: tuple[Level, ...], order: int, variant: str) -> list[_Weights]:
    """Every step's weights, so that the loop solves nothing, nor does the next batch's."""
    half = [0.5 * level.log_snr for level in levels]
    count, ends_clean = len(levels) - 1, levels[-1].sigma == 0
    table: list[_Weights] = []
    for k, (now, to) in enumerate(pairwise(levels)):
        remaining = count - k if ends_clean else order
        finite = sum(math.isfinite(value) for value in half[max(0, k - order + 1) : k])
        earlier = [half[k - j] - half[k] for j in range(1, min(order, remaining, finite + 1))]
        table.append(_step(now, to, half[k + 1] - half[k], earlier, variant))
    return table


def _step(now: Level, to: Level, h: float, earlier: list[float], variant: str) -> _Weights:
    """The weights of a step of length h, with predictions at half log-SNRs ``earlier`` than now."""
    gained = -math.expm1(-h)
    c_x, c_x0 = to.sigma / now.sigma, to.alpha * gained
    if not math.isfinite(h):
        return _Weights(c_x, c_x0, [0.0], None)
    ratios = [value / h for value in earlier]
    size = h if variant == "bh1" else gained
    predictor = [0.5] if len(ratios) == 1 else _solution(ratios, h, size)
    corrector = _solution([*ratios, 1.0], h, size) if ratios else [0.5]
    scale = to.alpha * size
    slopes = [scale * weight / ratio for weight, ratio in zip(predictor, ratios, strict=True)]
    *corrected, end = (
        scale * weight / ratio for weight, ratio in zip(corrector, [*ratios, 1.0], strict=True)
    )
    return _Weights(c_x, c_x0, [-sum(slopes), *slopes], [end, -end - sum(corrected), *corrected])


def _solution(ratios: list[float], h: float, size: float) -> list[float]:
    """Weights of the differences at ``ratios`` of the step (UniPC, eq. 7, for x0 prediction).

    sum_m rho_m r_m^(n-1) = n! psi_n / B(h), with psi_n the integrals of the exponential.
    """
    count = len(ratios)
    psi, moments = math.expm1(-h) / -h - 1, []
    for n in range(1, count + 1):
        moments.append(math.factorial(n) * psi / -size)
        psi = psi / -h - 1 / math.factorial(n + 1)
    powers = np.vander(np.asarray(ratios), count, increasing=True).T
    return list(np.linalg.solve(powers, np.asarray(moments)).tolist()) if count else []
