from __future__ import annotations

import pytest
import torch

from eval.metric import ReconstructionDistance, frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from eval.source.batch import Images


def features(count: int, dimensions: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    first = torch.randn(count, dimensions, generator=generator) + 3
    noise = torch.randn(count, dimensions, generator=generator)
    return {"original": first, "reconstruction": 0.9 * first + 0.1 + 0.2 * noise}


def feed(metric: ReconstructionDistance, features: dict[str, torch.Tensor]) -> None:
    blank = torch.zeros(len(features["reconstruction"]), 1, 1, 1, dtype=torch.uint8)
    metric.update(features, Images(blank, originals=blank))


def rows(features: dict[str, torch.Tensor], first: int, last: int) -> dict[str, torch.Tensor]:
    return {name: values[first:last] for name, values in features.items()}


# below and above the dimension, and in more rows than FeatureStatistics holds unsummed
@pytest.mark.parametrize(("count", "dimensions"), [(30, 6), (30, 50), (2500, 6)])
def test_is_the_frechet_distance_however_the_pairs_come(count: int, dimensions: int) -> None:
    pairs = features(count, dimensions)
    expected = frechet_distance(*(FeatureStatistics(pairs[side]) for side in sorted(pairs)))
    parts = [ReconstructionDistance("e") for _ in range(2)]
    feed(parts[0], rows(pairs, 0, count // 3))
    feed(parts[1], rows(pairs, count // 3, count // 2))
    feed(parts[1], rows(pairs, count // 2, count))
    pooled = ReconstructionDistance("e")
    for part in parts:
        pooled.merge_state(part)
    assert pooled.compute()["rfid_e"] == pytest.approx(expected, rel=1e-9)


def test_shifted_and_scaled_gaussians_have_the_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    # rows are kept as float32, which holds such x and x / 2 + 1 exactly
    x = (torch.randn(500, 4, generator=generator) * 64).round() / 64
    metric = ReconstructionDistance("e")
    feed(metric, {"original": x, "reconstruction": 0.5 * x + 1})
    # |m - (m/2 + 1)|^2 + tr(S + S/4 - S)
    x = x.double()
    expected = (x.mean(0) / 2 - 1).square().sum() + x.T.cov().trace() / 4
    assert metric.compute()["rfid_e"] == pytest.approx(float(expected), rel=1e-9)


def test_nothing_changed_is_no_distance() -> None:
    x = features(40, 5)["original"]
    metric = ReconstructionDistance("e")
    feed(metric, {"original": x, "reconstruction": x})
    assert metric.compute()["rfid_e"] == pytest.approx(0, abs=1e-12)


def test_broken_features_are_refused() -> None:
    pairs = features(4, 5)
    metric = ReconstructionDistance("e")
    with pytest.raises(
        ValueError, match="both sides are \\(B, D\\), got \\(3, 5\\) and \\(4, 5\\)"
    ):
        feed(metric, rows(pairs, 0, 4) | {"original": pairs["original"][:3]})
    with pytest.raises(ValueError, match="NaN"):
        feed(metric, pairs | {"original": pairs["original"] * torch.nan})
