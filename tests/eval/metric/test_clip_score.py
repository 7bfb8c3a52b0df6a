from __future__ import annotations

import pytest
import torch

from eval.metric.clip_score import ClipScore, clip_score
from zoo.records import Batch

DIRECTIONS = {"right": [2.0, 0.0], "up": [0.0, 3.0], "left": [-1.0, 0.0], "both": [1.0, 1.0]}


def text(captions: list[str]) -> torch.Tensor:
    return torch.tensor([DIRECTIONS[caption] for caption in captions])


def test_clamps_each_pair_before_the_mean() -> None:
    images = torch.tensor([[5.0, 0.0]] * 4)
    scores = clip_score(images, text(["right", "up", "left", "both"]))
    torch.testing.assert_close(scores, torch.tensor([100, 0, 0, 100 / 2**0.5], dtype=torch.float64))


def test_equals_torchmetrics_formula() -> None:
    # torchmetrics: 100 times the cosine of every pair, summed over pairs; its clamp is of the mean
    generator = torch.Generator().manual_seed(0)
    images, texts = torch.randn(2, 50, 16, generator=generator, dtype=torch.float64)
    cosines = (images / images.norm(dim=-1, keepdim=True) * texts).sum(-1) / texts.norm(dim=-1)
    torch.testing.assert_close(clip_score(images, texts), 100 * cosines.clamp(min=0))


def test_metric_is_the_mean_over_uneven_batches_and_merges() -> None:
    images = torch.randn(30, 2, generator=torch.Generator().manual_seed(1))
    captions = ["right", "up", "left"] * 10
    expected = clip_score(images, text(captions)).mean().item()
    first, second = ClipScore(text, "toy"), ClipScore(text, "toy")
    first.update({"pool": images[:4]}, Batch(None, captions[:4]))
    second.update({"pool": images[4:5]}, Batch(None, captions[4:5]))
    second.update({"pool": images[5:]}, Batch(None, captions[5:]))
    first.merge_state(second)
    assert first.compute() == {"clip_score_toy": pytest.approx(expected, rel=1e-12)}
    assert first.total.dtype == torch.float64


def test_refusals() -> None:
    metric = ClipScore(text, "toy")
    with pytest.raises(ValueError, match="needs a caption for each image"):
        metric.update({"pool": torch.zeros(2, 2)}, Batch(None, torch.zeros(2)))
    with pytest.raises(ValueError, match="one caption feature per image"):
        clip_score(torch.zeros(2, 3), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="NaN"):
        clip_score(torch.full((1, 2), float("nan")), torch.ones(1, 2))
