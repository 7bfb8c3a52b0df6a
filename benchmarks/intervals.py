"""How often intervals and verdicts hold: Fréchet distances of Gaussian features, known exactly.

    python benchmarks/intervals.py

500 trials at each dimension and count: how often the plain interval holds the expected distance at
that count, and the bias-corrected one the true distance; below the dimension no corrected one is
given. 1,000 comparisons of two sets from one distribution, never the same seeds, and of two whose
distances differ by 3 standard errors: how often a difference is claimed. Then the same of methods
whose trainings differ among themselves, over 3 and 5 trainings each; and how often the weights of
one training each are told apart though the method is one. About six minutes.
"""

from __future__ import annotations

import numpy as np
import torch
from _table import write

from eval.measure.blocks import Blocks
from eval.metric.frechet import FrechetDistance, frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from eval.result.uncertainty import (
    BLOCKS,
    Difference,
    Estimate,
    difference_of_trainings,
    estimable,
    paired_difference,
)
from eval.source.batch import Images

CASES = [(8, 2000), (16, 1000), (64, 1000), (64, 200), (64, 48)]
TRIALS, COMPARISONS = 500, 1000
MEAN, SCALE = 0.3, 1.2  # of the generated features, in each dimension; the reference is N(0, 1)
TRAINING = 0.02  # standard deviation of the mean from one training to the next


def reference(dimensions: int) -> FeatureStatistics:
    """The moments of N(0, 1) themselves."""
    identity = torch.eye(dimensions, dtype=torch.float64)
    return FeatureStatistics.from_moments(torch.zeros(dimensions), identity, 10**9)


def truth(dimensions: int, mean: float = MEAN) -> float:
    """The distance of the distributions."""
    return dimensions * (mean**2 + (SCALE - 1) ** 2)


def drawn(rng: np.random.Generator, dimensions: int, count: int, mean: float = MEAN) -> Estimate:
    """One evaluation."""
    features = torch.from_numpy(rng.normal(mean, SCALE, (count, dimensions)))
    blocks = Blocks(lambda: FrechetDistance(reference(dimensions), "gaussian"), count)
    blocks.update({"pool": features}, Images(torch.zeros(count, 1, 1, 1)))
    return blocks.estimates()["fid_gaussian"]


def distance(rng: np.random.Generator, dimensions: int, count: int, mean: float) -> float:
    """The value alone."""
    features = torch.from_numpy(rng.normal(mean, SCALE, (count, dimensions)))
    return frechet_distance(FeatureStatistics(features), reference(dimensions))


def coverage(dimensions: int, count: int) -> dict[str, object]:
    """How often both intervals hold what they are of."""
    rng = np.random.default_rng(dimensions * 10_000 + count)
    found = [drawn(rng, dimensions, count) for _ in range(TRIALS)]
    more = [distance(rng, dimensions, count, MEAN) for _ in range(2 * TRIALS)]
    expected = float(np.mean([*(one.value for one in found), *more]))
    plain = sum(one.low <= expected <= one.high for one in found)
    given, held = estimable(count, BLOCKS, dimensions), 0
    for one in found:
        low, high = one.around(one.corrected)
        held += low <= truth(dimensions) <= high
    return {
        "what": "coverage",
        "dimensions": dimensions,
        "count": count,
        "true": truth(dimensions),
        "expected_at_count": expected,
        "corrected_mean": float(np.mean([one.corrected for one in found])) if given else "",
        "plain_percent": 100 * plain / TRIALS,
        "corrected_percent": 100 * held / TRIALS if given else "",
        "corrected_is_given": given,
        "claimed_percent": "",
    }


def verdicts(dimensions: int, count: int) -> list[dict[str, object]]:
    """How often a difference is claimed where there is none, and where there is one."""
    rng = np.random.default_rng(1)

    def pairs(mean: float) -> list[tuple[Estimate, Estimate]]:
        return [
            (drawn(rng, dimensions, count, mean), drawn(rng, dimensions, count))
            for _ in range(COMPARISONS)
        ]

    equal = pairs(MEAN)
    error = float(np.std([a.value - b.value for a, b in equal]))
    further = apart(error, dimensions)
    return [
        row(what, dimensions, count, mean, [paired_difference(*pair) for pair in found])
        for what, found, mean in (
            ("equal", equal, MEAN),
            ("3 standard errors apart", pairs(further), further),
        )
    ]


def method_verdicts(dimensions: int, count: int) -> list[dict[str, object]]:
    """The same of methods, each trained several times; and of the weights of equal methods."""
    rng = np.random.default_rng(2)

    def values(trainings: int, mean: float = MEAN) -> list[float]:
        means = rng.normal(mean, TRAINING, trainings)
        return [distance(rng, dimensions, count, one) for one in means]

    def differences(trainings: int, mean: float) -> list[Difference]:
        return [
            difference_of_trainings(values(trainings, mean), values(trainings))
            for _ in range(COMPARISONS)
        ]

    rows = []
    for trainings in (3, 5):
        equal = differences(trainings, MEAN)
        further = apart(float(np.std([one.value for one in equal])), dimensions)
        for what, mean, found in (
            ("equal", MEAN, equal),
            ("3 standard errors apart", further, differences(trainings, further)),
        ):
            title = f"{what}: methods, {trainings} trainings each"
            rows.append(row(title, dimensions, count, mean, found))
    weights = [
        paired_difference(*(drawn(rng, dimensions, count, mean) for mean in means))
        for means in rng.normal(MEAN, TRAINING, (COMPARISONS, 2))
    ]
    return [
        *rows,
        row("equal methods: weights of one training each", dimensions, count, MEAN, weights),
    ]


def apart(error: float, dimensions: int) -> float:
    """The mean at which the distance is 3 standard errors larger."""
    return float(np.sqrt(MEAN**2 + 3 * error / dimensions))


def row(
    what: str, dimensions: int, count: int, mean: float, found: list[Difference]
) -> dict[str, object]:
    """How often a difference is claimed."""
    said = [one.verdict(higher_is_better=False) != "not distinguishable" for one in found]
    blank = ("expected_at_count", "corrected_mean", "plain_percent", "corrected_percent")
    return {
        "what": what,
        "dimensions": dimensions,
        "count": count,
        "true": truth(dimensions, mean) - truth(dimensions),
        **dict.fromkeys((*blank, "corrected_is_given"), ""),
        "claimed_percent": 100 * float(np.mean(said)),
    }


def main() -> None:
    """Every case."""
    told = [*verdicts(8, 1000), *method_verdicts(8, 1000)]
    write(__file__, [*(coverage(*case) for case in CASES), *told])


if __name__ == "__main__":
    main()
