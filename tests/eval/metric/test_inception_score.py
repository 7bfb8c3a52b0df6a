from __future__ import annotations

import pytest
import torch

from eval.metric.inception_score import InceptionScore, inception_score
from zoo.records import Batch

NO_BATCH = Batch(torch.zeros(1, 1, 2, 2))


def logits(count: int, classes: int = 12) -> torch.Tensor:
    return 3 * torch.randn(count, classes, generator=torch.Generator().manual_seed(0))


def test_equals_torch_fidelity() -> None:
    from torch_fidelity.metric_isc import (
        KEY_METRIC_ISC_MEAN,
        KEY_METRIC_ISC_STD,
        isc_features_to_metric,
    )

    theirs = isc_features_to_metric(logits(1003), splits=10, shuffle=False)
    ours = inception_score(logits(1003))
    assert float(ours.mean()) == pytest.approx(theirs[KEY_METRIC_ISC_MEAN], rel=1e-6)
    assert float(ours.std(correction=0)) == pytest.approx(theirs[KEY_METRIC_ISC_STD], rel=1e-6)


def test_its_ends_are_one_and_the_number_of_classes() -> None:
    same = torch.zeros(20, 5)
    sure = 1e4 * torch.eye(5).repeat(4, 1)
    assert float(inception_score(same, 1)) == pytest.approx(1.0)
    assert float(inception_score(sure, 1)) == pytest.approx(5.0)


def test_metric_is_one_split_and_merges() -> None:
    whole, first, second = (InceptionScore("inception") for _ in range(3))
    whole.update({"logits": logits(90)}, NO_BATCH)
    first.update({"logits": logits(90)[:33]}, NO_BATCH)
    second.update({"logits": logits(90)[33:]}, NO_BATCH)
    first.merge_state(second)
    assert first.compute() == pytest.approx(whole.compute(), rel=1e-12)
    assert whole.compute()["inception_score_inception"] == pytest.approx(
        float(inception_score(logits(90), 1))
    )


def test_refusals() -> None:
    with pytest.raises(ValueError, match="3 images cannot be cut into 10"):
        inception_score(logits(3))
    with pytest.raises(ValueError, match="finite"):
        InceptionScore("inception").update({"logits": torch.full((2, 3), torch.nan)}, NO_BATCH)
