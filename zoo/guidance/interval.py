"""Guidance at some noise levels only (arXiv:2404.07724)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from zoo.records import Level

_UNITS: dict[str, Callable[[Level], float]] = {
    "t": lambda level: level.t,
    "log_snr": lambda level: level.log_snr,
    "sigma": lambda level: level.sigma / level.alpha if level.alpha else math.inf,
}


class Interval:
    """Noise levels between two bounds, both included; all levels without bounds.

    The paper's bounds are in the noise of x / alpha, which is ``sigma`` here whatever the schedule.

    Args:
        bounds: the lower and the higher one, or None.
        unit: what they are in: t, log_snr or sigma.

    Raises:
        ValueError: another unit, or bounds that are not two ascending numbers.
    """

    def __init__(self, bounds: Sequence[float] | None, unit: str) -> None:
        if unit not in _UNITS:
            raise ValueError(f"interval_in is one of {', '.join(_UNITS)}, got '{unit}'")
        if bounds is not None and (len(bounds) != 2 or not bounds[0] < bounds[1]):
            turned = f"; did you mean [{bounds[1]}, {bounds[0]}]?" if len(bounds) == 2 else ""
            raise ValueError(
                f"a guidance interval is [low, high] in {unit}, got {list(bounds)}{turned}"
            )
        self.bounds, self.unit = bounds, unit

    def __contains__(self, level: Level) -> bool:
        return self.bounds is None or self.bounds[0] <= _UNITS[self.unit](level) <= self.bounds[1]
