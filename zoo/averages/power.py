"""Power-function averages and how they combine (Karras et al., arXiv:2312.02696, appendix C).

The average at time t weighs the weights of time tau by (gamma + 1) tau^gamma / t^(gamma + 1). Its
length is ``sigma_rel``, the deviation of p divided by t, so that it grows with the training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

LONGEST = 1 / 2 / 3**0.5
"""``sigma_rel`` of the plain mean over the whole training (gamma = 0)."""

Averages = Sequence[tuple[float, float]]
"""Averages as pairs of their time t, in steps, and their ``sigma_rel``."""


def exponent(sigma_rel: float) -> float:
    """gamma of an average of that length: sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)).

    Raises:
        ValueError: ``sigma_rel`` is not in (0, 12^-1/2].
    """
    if not 0 < sigma_rel <= LONGEST:
        raise ValueError(
            f"sigma_rel is above 0 and at most 0.2886 (12^-1/2), the mean over all steps; "
            f"got {sigma_rel}"
        )
    t = sigma_rel**-2.0
    roots = np.roots([1.0, 7.0, 16.0 - t, 12.0 - t])
    return max(0.0, float(roots[np.abs(roots.imag) < 1e-6].real.max()))


def length(gamma: float) -> float:
    """``sigma_rel`` of a power.

    >>> round(length(exponent(0.05)), 12), length(0) == LONGEST
    (0.05, True)
    """
    return float((gamma + 1) ** 0.5 / (gamma + 2) / (gamma + 3) ** 0.5)


def products(first: Averages, second: Averages) -> NDArray[np.float64]:
    """The integral over tau of each profile of ``first`` times each of ``second``."""
    (t, gamma), (s, delta) = _columns(first), _columns(second)
    t, gamma, s, delta = t[:, None], gamma[:, None], s[None], delta[None]
    # of the time of the earlier average over that of the later one, which goes on without it
    power = np.where(t < s, delta, gamma)
    ratio = np.minimum(t, s) / np.maximum(t, s)
    overlap = (gamma + 1) * (delta + 1) / ((gamma + delta + 1) * np.maximum(t, s))
    return np.asarray(overlap * ratio**power)


def coefficients(kept: Averages, wanted: Averages) -> NDArray[np.float64]:
    """The combinations of kept averages whose profiles are nearest to the wanted ones.

    Args:
        kept: what is there; no two alike.
        wanted: none of a later time than the last of ``kept``.

    Returns:
        (len(kept), len(wanted)); each column adds up to 1, as an average's weights do.
    """
    gram, right = products(kept, kept), products(kept, wanted)
    scale = 1 / np.sqrt(np.diag(gram))  # early averages have far narrower, higher profiles
    solution = np.linalg.lstsq(gram * np.outer(scale, scale), right * scale[:, None], rcond=None)
    columns = np.asarray(solution[0] * scale[:, None])
    columns /= columns.sum(axis=0)
    for column, average in enumerate(wanted):
        if average in kept:  # itself, to the bit
            columns[:, column] = np.eye(len(kept))[list(kept).index(average)]
    return columns


def mismatch(kept: Averages, wanted: Averages, columns: ArrayLike) -> NDArray[np.float64]:
    """How far combinations are from the wanted profiles: the distance over the profile's norm.

    Args:
        kept: the averages that are combined.
        wanted: the averages that are meant.
        columns: (len(kept), len(wanted)), what ``coefficients`` returns.
    """
    x = np.asarray(columns)
    own = np.diag(products(wanted, wanted))
    cross = (x * products(kept, wanted)).sum(axis=0)
    squares = (x * (products(kept, kept) @ x)).sum(axis=0)
    return np.asarray(np.sqrt(np.maximum(0.0, own - 2 * cross + squares) / own))


def _columns(averages: Averages) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    times = np.array([float(time) for time, _ in averages])
    return times, np.array([exponent(sigma_rel) for _, sigma_rel in averages])
