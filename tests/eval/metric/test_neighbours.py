from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from eval.metric.neighbours import DensityCoverage, PrecisionRecall, neighbours
from zoo.records import Batch

NO_BATCH = Batch(torch.zeros(1, 1, 2, 2))


def features(count: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)) + shift


def by_definition(ours: Tensor, theirs: Tensor, k: int, k_density: int) -> list[float]:
    """The papers' definitions over whole distance matrices."""
    x, y = ours.double().numpy(), theirs.double().numpy()
    cross = np.linalg.norm(y[:, None] - x[None], axis=-1)
    own, real = (np.sort(np.linalg.norm(v[:, None] - v[None], axis=-1), axis=1) for v in (x, y))
    return [
        float((cross <= real[:, k, None]).any(0).mean()),
        float((cross <= own[None, :, k]).any(1).mean()),
        float((cross < real[:, k_density, None]).sum(0).mean() / k_density),
        float((cross.min(1) < real[:, k_density]).mean()),
    ]


def test_equals_torch_fidelity() -> None:
    from torch_fidelity.metric_prc import (
        KEY_METRIC_PRECISION,
        KEY_METRIC_RECALL,
        prc_features_to_metric,
    )

    real, made = features(400, 0), features(300, 1, 0.4)
    theirs = prc_features_to_metric(
        made, real, prc_neighborhood=3, prc_batch_size=100, verbose=False
    )
    ours = neighbours(made, real)
    assert ours.precision == pytest.approx(theirs[KEY_METRIC_PRECISION], abs=1e-6)
    assert ours.recall == pytest.approx(theirs[KEY_METRIC_RECALL], abs=1e-6)


@pytest.mark.parametrize(("count", "shift"), [(130, 0.0), (1100, 0.8)])
def test_equals_the_definitions_over_many_chunks(count: int, shift: float) -> None:
    made, real = features(count, 0, shift), features(1500 if count > 1000 else 90, 1)
    assert list(neighbours(made, real)[:4]) == pytest.approx(by_definition(made, real, 3, 5))


def test_leaving_a_block_out_equals_computing_without_it() -> None:
    made, real = features(120, 0, 0.7), features(100, 1)
    blocks = [(0, 40), (40, 77), (77, 120)]
    found = neighbours(made, real, blocks=blocks).without
    for (first, last), ours in zip(blocks, found, strict=True):
        rest = torch.cat([made[:first], made[last:]])
        assert list(ours[:4]) == pytest.approx(by_definition(rest, real, 3, 5), abs=1e-12)
    assert len({one.recall for one in found}) > 1


def test_metrics_give_both_of_their_numbers() -> None:
    made, real = features(60, 0), features(60, 1)
    want = neighbours(made, real)
    one, other = PrecisionRecall(real, "small"), DensityCoverage(real, "small")
    for metric in (one, other):
        metric.update({"pool": made}, NO_BATCH)
    assert one.compute() == {"precision_small": want.precision, "recall_small": want.recall}
    assert other.compute() == {"density_small": want.density, "coverage_small": want.coverage}


def test_too_few_features() -> None:
    with pytest.raises(ValueError, match="neighbour 5 need more"):
        neighbours(features(5, 0), features(50, 1))
