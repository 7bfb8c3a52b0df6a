"""How often intervals and verdicts hold: Fréchet distances of Gaussian features, known exactly.

    python benchmarks/intervals.py

500 trials at each dimension and count: how often the plain interval holds the expected distance at
that count, and the bias-corrected one the true distance. 1,000 comparisons of two sets from one
distribution, never the same seeds, and of two whose distances differ by 3 standard errors: how
often a difference is claimed. About four minutes.
"""

from __future__ import annotations

import numpy as np
import torch
from _table import write

from eval.blocks import Blocks
from eval.feature_statistics import FeatureStatistics
from eval.images import Images
from eval.metric.frechet import FrechetDistance, frechet_distance
from eval.uncertainty import BLOCKS, Estimate, estimable, paired_difference

CASES = [(8, 2000), (16, 1000), (64, 1000), (64, 200)]
TRIALS, COMPARISONS = 500, 1000
MEAN, SCALE = 0.3, 1.2  # of the generated features, in each dimension; the reference is N(0, 1)


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


def coverage(dimensions: int, count: int) -> dict[str, object]:
    """How often both intervals hold what they are of."""
    rng = np.random.default_rng(dimensions * 10_000 + count)
    found = [drawn(rng, dimensions, count) for _ in range(TRIALS)]
    more = [
        frechet_distance(
            FeatureStatistics(torch.from_numpy(rng.normal(MEAN, SCALE, (count, dimensions)))),
            reference(dimensions),
        )
        for _ in range(2 * TRIALS)
    ]
    expected = float(np.mean([*(one.value for one in found), *more]))
    plain = sum(one.low <= expected <= one.high for one in found)
    held = 0
    for one in found:
        low, high = one.around(one.corrected)
        held += low <= truth(dimensions) <= high
    return {
        "what": "coverage",
        "dimensions": dimensions,
        "count": count,
        "true": truth(dimensions),
        "expected_at_count": expected,
        "corrected_mean": float(np.mean([one.corrected for one in found])),
        "plain_percent": 100 * plain / TRIALS,
        "corrected_percent": 100 * held / TRIALS,
        "corrected_is_given": estimable(count, BLOCKS, dimensions),
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

    def claimed(found: list[tuple[Estimate, Estimate]]) -> float:
        said = [paired_difference(*pair).verdict(higher_is_better=False) for pair in found]
        return 100 * float(np.mean([one != "not distinguishable" for one in said]))

    equal = pairs(MEAN)
    error = float(np.std([a.value - b.value for a, b in equal]))
    further = float(np.sqrt(MEAN**2 + 3 * error / dimensions))
    rows = []
    for what, found, mean in (
        ("equal", equal, MEAN),
        ("3 standard errors apart", pairs(further), further),
    ):
        blank = dict.fromkeys(
            ("expected_at_count", "corrected_mean", "plain_percent", "corrected_percent"), ""
        )
        rows.append(
            {
                "what": what,
                "dimensions": dimensions,
                "count": count,
                "true": truth(dimensions, mean) - truth(dimensions),
                **blank,
                "corrected_is_given": "",
                "claimed_percent": claimed(found),
            }
        )
    return rows


def main() -> None:
    """Every case."""
    write(__file__, [*(coverage(*case) for case in CASES), *verdicts(8, 1000)])


if __name__ == "__main__":
    main()
