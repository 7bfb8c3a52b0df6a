"""The Gaussian posterior between any two levels: DDPM's eqs. 6 and 7 for every stride."""

from __future__ import annotations

import math
from typing import Any, Generic, NamedTuple

import torch
from torch import Tensor

from zoo.records import Level, N


class Posterior(NamedTuple, Generic[N]):
    """q(x_to | x_now, x0) has mean ``c_x x + c_x0 x0`` and variance ``small``.

    ``beta`` is the variance of the forward step from ``to`` to ``now``, the upper bound of the
    reverse step's; ``small`` the lower. Floats, or (B,) float64 as the levels are.
    """

    c_x: N
    c_x0: N
    beta: N
    small: N


def posterior(now: Level[N], to: Level[N]) -> Posterior[N]:
    """The posterior of the less noisy level ``to`` given x at ``now``.

    beta is s_now^2 - (a_now / a_to)^2 s_to^2; the shorter 1 - (a_now / a_to)^2 holds for variance
    preserving schedules only.
    """
    ratio = now.alpha / to.alpha
    share = to.sigma**2 / now.sigma**2
    beta = now.sigma**2 - ratio**2 * to.sigma**2
    return Posterior(
        c_x=ratio * share, c_x0=to.alpha * beta / now.sigma**2, beta=beta, small=beta * share
    )


def log_variance(fraction: float | Tensor, beta: N, small: N, floor: N) -> Any:
    """log of the reverse variance: ``fraction`` log beta + (1 - fraction) log small.

    Improved DDPM's eq. 15; fraction 0 is the posterior variance, 1 is beta. Where the target is
    clean, ``small`` is 0 and ``floor`` stands for both ends of a fixed variance and for the lower
    end of a learned one.

    Args:
        fraction: a float, or a tensor (B, ...) of a learned variance.
        beta: float or (B,)-shaped tensor, broadcastable to ``fraction``.
        small: like ``beta``.
        floor: the chain's second posterior variance (that of its last step but one).
    """
    fixed = not isinstance(fraction, Tensor)
    if isinstance(beta, Tensor) or isinstance(small, Tensor):
        lower = torch.where(small > 0, small, floor).log()
        upper = torch.where(small > 0, beta, floor).log() if fixed else beta.log()
        return fraction * upper + (1 - fraction) * lower
    low = math.log(small if small > 0 else floor)
    high = low if fixed and small <= 0 else math.log(beta)
    return fraction * high + (1 - fraction) * low


def variance_floor(levels: list[Level]) -> float:
    """The second posterior variance of a chain of descending levels that ends clean.

    The last step's own posterior variance is 0; the papers' code puts that of the step before in
    its place. It belongs to the chain, not to a pair of levels. A chain of one step has no second
    one: its beta stands in.
    """
    if len(levels) < 3:
        return float(posterior(levels[-2], levels[-1]).beta)
    return float(posterior(levels[-3], levels[-2]).small)
