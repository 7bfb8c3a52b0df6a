"""A chart's axis: its range, its round numbers, and the lines it is read beside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from eval.result.record import Value
from eval.table.formatting import is_frechet, short, stem_of

_UNBIASED = ("kid", "cmmd")  # whose expectation does not depend on the count
_READABLE = 3  # an axis may grow to so many times its intervals' span to take in a line


class Line(NamedTuple):
    """A number of real images that values are read beside.

    Attributes:
        kind: "floor", "ceiling" or "chance".
        at: the number.
        said: what it is, in words.
        comparable: whether it may be drawn beside the values.
    """

    kind: str
    at: float
    said: str
    comparable: bool = True


class Axis(NamedTuple):
    """A chart's range."""

    low: float
    high: float

    def percent(self, number: float) -> float:
        """Where a number lies, from 0 at the low end to 100."""
        return 100 * (number - self.low) / (self.high - self.low)

    def holds(self, number: float) -> bool:
        """Whether a number lies on it."""
        return self.low <= number <= self.high


def lines_of(name: str, values: Sequence[Value]) -> list[Line]:
    """Noise floor, ceiling and chance of a metric, each distinct number once."""
    found = []
    for floor, of, count in dict.fromkeys((v.floor, v.floor_images, v.num_images) for v in values):
        if floor is None:
            continue
        comparable = not of or of == count or stem_of(name) in _UNBIASED
        images = f" of {of:,} real images" if of else ""
        reason = "" if comparable else f"; not drawn, for the values are of {count:,}"
        what = "noise floor" if is_frechet(name) or stem_of(name) in _UNBIASED else "held out"
        found.append(Line("floor", floor, f"{what}{images}: {short(floor)}{reason}", comparable))
    for ceiling in dict.fromkeys(v.ceiling for v in values if v.ceiling is not None):
        found.append(Line("ceiling", ceiling, f"real images: {short(ceiling)}"))
    for chance in dict.fromkeys(v.chance for v in values if v.chance is not None):
        found.append(Line("chance", chance, f"chance: {short(chance)}"))
    return found


def axis_of(values: Sequence[Value], lines: Sequence[Line]) -> Axis:
    """From the lowest end to the highest, and to each line that leaves the intervals readable."""
    ends = [end for v in values for end in (*(v.interval or ()), *v.trainings, v.value)]
    low, high = min(ends), max(ends)
    span = (high - low) or abs(high) or 1.0
    for line in lines:
        wider = min(low, line.at), max(high, line.at)
        if line.comparable and wider[1] - wider[0] <= _READABLE * span:
            low, high = wider
    pad = 0.06 * ((high - low) or span)
    return Axis(low - pad, high + pad)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most ``most`` + 1 of them.

    >>> ticks(0, 2000, 4), ticks(0.09, 0.34, 4)
    ([0.0, 500.0, 1000.0, 1500.0, 2000.0], [0.1, 0.2, 0.3])
    """
    rough = (high - low) / most
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(decade * m for m in (1, 2, 2.5, 5, 10) if decade * m >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
