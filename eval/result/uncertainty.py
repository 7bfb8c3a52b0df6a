"""How sure a number is: a jackknife over blocks of images, and verdicts that several pairs share.

The value of a metric is computed over all N images. Its images are cut into R disjoint blocks, and
the metric is computed R times more with one block left out. The pseudo-values ``R all - (R - 1)
without_r`` are all but independent; their spread is that of the metric (Tukey 1958; Efron & Stein
1981). The mean of the blocks' own values is not used: FID falls as sets grow, so that mean is far
above the value. Images are never drawn with replacement, which raises FID for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

LEVEL = 0.95
BLOCKS = 10
EQUAL = "not distinguishable"


@dataclass(frozen=True)
class Estimate:
    """A number and how far sampling noise moves it, for these weights and this reference.

    Attributes:
        value: over all images, with the bias of this count.
        standard_error: of the value.
        low: the lower end of the interval around ``value``; its level is ``LEVEL``.
        high: the upper end.
        pseudo: the R pseudo-values; their mean is the value with its bias of order 1/N removed.
            Over trainings: their values.
        sets: the numbers of several disjoint sets whose mean the value is; empty for one set.
    """

    value: float
    standard_error: float
    low: float
    high: float
    pseudo: tuple[float, ...]
    sets: tuple[float, ...] = ()

    def plus_error(self, error: float) -> Estimate:
        """The same with a further, independent standard error, which the blocks do not show."""
        if not self.pseudo or error == 0:
            return self
        whole = math.hypot(self.standard_error, error)
        half = t_quantile(len(self.pseudo) - 1) * whole
        return replace(self, standard_error=whole, low=self.value - half, high=self.value + half)

    @property
    def corrected(self) -> float:
        """The jackknife's estimate at an unlimited count: biased by order 1/N^2 only."""
        return math.fsum(self.pseudo) / len(self.pseudo)

    def around(self, centre: float) -> tuple[float, float]:
        """The interval of this width around another centre, such as ``corrected``."""
        return centre - (self.value - self.low), centre + (self.high - self.value)


def jackknife(whole: float, without: Sequence[float]) -> Estimate:
    """The delete-one-block jackknife, with Student's t of R - 1 degrees of freedom.

    Args:
        whole: the metric over all images.
        without: the metric over all images but those of block r, for each r.

    Raises:
        ValueError: fewer than two blocks, or a number is not finite.

    >>> values = [1.0, 2.0, 3.0, 6.0]
    >>> mean = lambda some: sum(some) / len(some)
    >>> estimate = jackknife(mean(values), [mean(values[:r] + values[r + 1:]) for r in range(4)])
    >>> [round(value, 12) for value in estimate.pseudo]
    [1.0, 2.0, 3.0, 6.0]
    """
    blocks = len(without)
    if blocks < 2:
        raise ValueError(f"an interval needs at least 2 blocks of images, got {blocks}")
    if not all(map(math.isfinite, (whole, *without))):
        raise ValueError("a metric is not finite: over all images or without a block")
    pseudo = tuple(blocks * whole - (blocks - 1) * value for value in without)
    error = _standard_error(pseudo)
    half = t_quantile(blocks - 1) * error
    return Estimate(whole, error, whole - half, whole + half, pseudo)


def without_interval(value: float, sets: tuple[float, ...] = ()) -> Estimate:
    """A number whose uncertainty is not known: too few images for blocks, or a few sets' mean."""
    return Estimate(value, math.inf, -math.inf, math.inf, (), sets)


def over_trainings(values: Sequence[float]) -> Estimate:
    """The mean over several trainings of one method, with Student's t of n - 1 degrees of freedom.

    Raises:
        ValueError: fewer than two trainings, or a number is not finite.

    >>> estimate = over_trainings([1.0, 2.0, 3.0])
    >>> estimate.value, round(estimate.low, 4), round(estimate.high, 4)
    (2.0, -0.4841, 4.4841)
    """
    if len(values) < 2:
        raise ValueError(f"an interval over trainings needs at least 2 of them, got {len(values)}")
    if not all(map(math.isfinite, values)):
        raise ValueError("a metric is not finite in one of the trainings")
    mean, error = math.fsum(values) / len(values), _standard_error(values)
    half = t_quantile(len(values) - 1) * error
    return Estimate(mean, error, mean - half, mean + half, tuple(values))


def estimable(count: int, blocks: int, dimensions: int) -> bool:
    """Whether a Fréchet distance can be corrected for bias: enough images are left for its rank.

    The bias is of order 1/N only where N is well above the dimension: without the largest block,
    there must be at least twice as many images as dimensions.

    >>> estimable(20, 10, 9), estimable(19, 10, 9)
    (True, False)
    """
    return count - math.ceil(count / blocks) >= 2 * dimensions


def block_bounds(count: int, blocks: int = BLOCKS) -> list[tuple[int, int]]:
    """``[first, last)`` of each block: sizes differ by one image at most.

    Raises:
        ValueError: fewer images than blocks.

    >>> block_bounds(7, 3)
    [(0, 2), (2, 4), (4, 7)]
    """
    if count < blocks:
        raise ValueError(f"{count} images cannot be cut into {blocks} blocks: ask for fewer blocks")
    edges = [count * r // blocks for r in range(blocks + 1)]
    return list(pairwise(edges))


@dataclass(frozen=True)
class Difference:
    """Two numbers of one metric, compared.

    Attributes:
        value: the first less the second.
        standard_error: of the difference.
        p: two-sided; the chance of a difference as large if there were none.
        adjusted: p corrected for all pairs of the table (Holm 1979).
    """

    value: float
    standard_error: float
    p: float
    adjusted: float

    def verdict(self, higher_is_better: bool) -> str:
        """Of the first: "better", "worse" or "not distinguishable"."""
        if self.adjusted >= 1 - LEVEL or self.value == 0:
            return EQUAL
        return "better" if (self.value > 0) == higher_is_better else "worse"


def paired_difference(first: Estimate, second: Estimate) -> Difference:
    """Whether *these weights* differ: a paired t test over blocks of the same seeds.

    Block r of both holds images of the same seeds, so what the seeds do to both cancels.

    Raises:
        ValueError: the numbers of blocks differ.
    """
    if len(first.pseudo) != len(second.pseudo):
        raise ValueError(
            f"{len(first.pseudo)} and {len(second.pseudo)} blocks cannot be paired: "
            "evaluate both with the same protocol.blocks"
        )
    gaps = [a - b for a, b in zip(first.pseudo, second.pseudo, strict=True)]
    # what the blocks do not show, such as the randomness of a metric's own subsets
    both = first, second
    own = sum(max(0.0, e.standard_error**2 - _standard_error(e.pseudo) ** 2) for e in both)
    error = math.sqrt(_standard_error(gaps) ** 2 + own)
    largest = max(map(abs, (*first.pseudo, *second.pseudo)))
    # of the values themselves, whose bias at one count is much the same
    difference = first.value - second.value
    p = _two_sided(difference, error, len(gaps) - 1, largest)
    return Difference(difference, error, p, p)


def difference_of_trainings(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Whether *the method* differs: Welch's t test over the numbers of each method's trainings.

    Trainings of one seed are not paired: a seed means another start in another network.

    Raises:
        ValueError: fewer than two trainings of either.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"methods are compared over at least two trainings each, got {len(first)} and "
            f"{len(second)}: the weights of single trainings can be compared in blocks"
        )
    gap = math.fsum(first) / len(first) - math.fsum(second) / len(second)
    variances = _standard_error(first) ** 2, _standard_error(second) ** 2
    error = math.sqrt(sum(variances))
    parts = variances[0] ** 2 / (len(first) - 1) + variances[1] ** 2 / (len(second) - 1)
    degrees = error**4 / parts if parts > 0 else 1.0  # Welch and Satterthwaite's
    p = _two_sided(gap, error, degrees, max(map(abs, (*first, *second))))
    return Difference(gap, error, p, p)


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """All pairs of a table, their p adjusted so that any false verdict is rare (Holm 1979).

    >>> differences = holm([Difference(1, 1, p, p) for p in (0.01, 0.04, 0.03)])
    >>> [difference.adjusted for difference in differences]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(differences)), key=lambda i: differences[i].p)
    adjusted, highest = list(differences), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * differences[index].p))
        adjusted[index] = replace(differences[index], adjusted=highest)
    return adjusted


def t_quantile(degrees: int, level: float = LEVEL) -> float:
    """Student's t at the end of a two-sided interval of this level."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + level / 2))


def _two_sided(gap: float, error: float, degrees: float, largest: float) -> float:
    """Student's p; 1 where nothing varies but the rounding of numbers as large as ``largest``."""
    from scipy.special import stdtr

    if error <= 1e-12 * largest:
        return 1.0
    return 2 * float(stdtr(degrees, -abs(gap) / error))


def _standard_error(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return math.sqrt(squares / (len(values) - 1) / len(values))
