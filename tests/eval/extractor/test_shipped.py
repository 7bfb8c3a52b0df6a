"""The extractors that ship for digits measure what their cards say."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from eval.extractor import Small, SmallClip
from eval.metric import clip_score, frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from zoo import paths
from zoo.checkpoint import provenance, sha256
from zoo.data import Digits

FOLDER = paths.checkpoints() / "digits"


@pytest.fixture(scope="module")
def digits() -> Any:
    data = Digits(condition="caption")
    data.setup()
    return data


@pytest.fixture(scope="module")
def small() -> Small:
    return Small(FOLDER / "small_extractor.safetensors")


@pytest.fixture(scope="module")
def training(small: Small, digits: Any) -> Tensor:
    return small(digits.train.images)["pool"]


def distance(features: Tensor, reference: Tensor) -> float:
    return frechet_distance(FeatureStatistics(features), FeatureStatistics(reference))


@pytest.mark.parametrize("name", ["small_extractor", "small_clip"])
def test_card_and_file_agree(name: str, digits: Any) -> None:
    file, card = FOLDER / f"{name}.safetensors", (FOLDER / f"{name}.md").read_text()
    assert sha256(file) in card
    assert f"zoo train model={name} data=digits" in card
    trained_on = provenance(file)["budget"]["data_fingerprint"]
    assert trained_on == digits.fingerprint
    assert trained_on in card
    assert file.stat().st_size < 1_000_000


def test_accuracy(small: Small, digits: Any) -> None:
    right = small(digits.test.images)["logits"].argmax(dim=1) == digits.test.labels
    assert right.float().mean() >= 0.98


def test_training_and_held_out_features_agree(small: Small, digits: Any, training: Tensor) -> None:
    floor = distance(small(digits.test.images)["pool"], training)
    labels, generator = digits.train.labels, torch.Generator().manual_seed(0)
    shares = torch.bincount(digits.test.labels)
    others = []
    for _ in range(10):
        mask = torch.zeros(len(labels), dtype=torch.bool)
        for label, share in enumerate(shares):
            rows = (labels == label).nonzero()[:, 0]
            mask[rows[torch.randperm(len(rows), generator=generator)[:share]]] = True
        others.append(distance(training[mask], training[~mask]))
    assert floor < 1.3 * sum(others) / len(others)
    stated = re.search(r"to the training images \| ([\d.]+)", _card("small_extractor"))
    assert stated is not None
    assert floor == pytest.approx(float(stated.group(1)), rel=0.01)


def test_noise_and_blur_raise_the_distance(small: Small, digits: Any, training: Tensor) -> None:
    from torchvision.transforms.functional import gaussian_blur

    images, generator = digits.test.images.float(), torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, generator=generator)
    worse = {
        "noise": [images + level * noise for level in (0, 4, 8, 16, 32, 64, 96)],
        "blur": [images, *(gaussian_blur(images, 9, s) for s in (0.5, 0.7, 1.0, 1.5, 2.5))],
    }
    for name, series in worse.items():
        found = [distance(small(x.round().clamp(0, 255).byte())["pool"], training) for x in series]
        assert found == sorted(found), name
    uniform = torch.randint(0, 256, images.shape, dtype=torch.uint8, generator=generator)
    assert distance(small(uniform)["pool"], training) > 20 * found[0]


def test_clip_ceiling_and_chance(digits: Any) -> None:
    clip = SmallClip(FOLDER / "small_clip.safetensors")
    pool, captions = clip(digits.test.images)["pool"], digits.test.captions
    distinct = sorted(set(captions))
    nearest = (pool @ clip.text(distinct).T).argmax(dim=1)
    right = [distinct[index] == caption for index, caption in zip(nearest, captions, strict=True)]
    assert sum(right) / len(right) >= 0.98
    ceiling = clip_score(pool, clip.text(captions)).mean().item()
    order = torch.randperm(len(captions), generator=torch.Generator().manual_seed(0)).tolist()
    chance = clip_score(pool, clip.text([captions[i] for i in order])).mean().item()
    assert ceiling > 75
    assert chance < 25
    stated = re.search(r"\(ceiling\) \| ([\d.]+)", _card("small_clip"))
    assert stated is not None
    assert ceiling == pytest.approx(float(stated.group(1)), rel=0.01)


def _card(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text()
