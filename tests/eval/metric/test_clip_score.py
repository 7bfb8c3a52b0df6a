from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from eval.metric.clip_score import ClipScore, ClipScoreW25, clip_score
from eval.source.batch import Images

DIRECTIONS = {"right": [2.0, 0.0], "up": [0.0, 3.0], "left": [-1.0, 0.0], "both": [1.0, 1.0]}


def text(captions: list[str]) -> torch.Tensor:
    return torch.tensor([DIRECTIONS[caption] for caption in captions])


def pictured(captions: list[str] | None, count: int = 0) -> Images:
    count = count or len(captions or [])
    return Images(torch.zeros(count, 1, 1, 1, dtype=torch.uint8), captions=captions)


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
    first.update({"pool": images[:4]}, pictured(captions[:4]))
    second.update({"pool": images[4:5]}, pictured(captions[4:5]))
    second.update({"pool": images[5:]}, pictured(captions[5:]))
    first.merge_state(second)
    assert first.compute() == {"clip_score_toy": pytest.approx(expected, rel=1e-12)}
    assert first.total.dtype == torch.float64


def test_refusals() -> None:
    metric = ClipScore(text, "toy")
    with pytest.raises(ValueError, match="needs a caption for each image"):
        metric.update({"pool": torch.zeros(2, 2)}, pictured(None, 2))
    with pytest.raises(ValueError, match="one caption feature per image"):
        clip_score(torch.zeros(2, 3), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="NaN"):
        clip_score(torch.full((1, 2), float("nan")), torch.ones(1, 2))


def test_w25_is_clipscore_as_its_authors_compute_it() -> None:
    """2.5 times the clipped cosine, of the caption after "A photo depicts ", and then the mean."""
    asked = []

    def tower(captions: list[str]) -> torch.Tensor:
        asked.extend(captions)
        return text([caption.rpartition(" ")[2] for caption in captions])

    images = torch.randn(40, 2, generator=torch.Generator().manual_seed(2))
    captions = ["right", "up", "left", "both"] * 10
    metric = ClipScoreW25(tower, "toy")
    metric.update({"pool": images}, pictured(captions))
    pictures, words = images.numpy(), text(captions).numpy()
    pictures = pictures / np.sqrt(np.sum(pictures**2, axis=1, keepdims=True))
    words = words / np.sqrt(np.sum(words**2, axis=1, keepdims=True))
    want = np.mean(2.5 * np.clip(np.sum(pictures * words, axis=1), 0, None))
    assert metric.compute() == {"clip_score_w25_toy": pytest.approx(want, rel=1e-6)}
    assert asked[:2] == ["A photo depicts right", "A photo depicts up"]


def test_weight_and_prefix_are_the_whole_difference() -> None:
    images, captions = torch.randn(6, 2), ["right", "up", "left"] * 2
    plain = ClipScore(text, "toy")
    other = ClipScoreW25(text, "toy", prefix="")
    for metric in (plain, other):
        metric.update({"pool": images}, pictured(captions))
    (value,), (small,) = plain.compute().values(), other.compute().values()
    assert small == pytest.approx(value / 40)
    assert (plain.against, plain.prefix) == ("text", "")
    assert ClipScoreW25.suits(SimpleNamespace(text=text), None)
    assert not ClipScoreW25.suits(SimpleNamespace(), None)
