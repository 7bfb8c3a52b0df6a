"""Latents that are kept are those that a training would encode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.encodings.entry import entry
from zoo.encodings.latents import Latents, latents_request
from zoo.first_stage import KLAutoencoder
from zoo.first_stage.statistics import latent_statistics, latent_sums


def kept(folder: Path, first_stage: Any, data: Any, dtype: str = "float32") -> Latents:
    return Latents(entry(folder, latents_request(first_stage, data, dtype)), data.flip)


@pytest.mark.parametrize("flip", [True, False])
def test_batches_hold_the_moments_of_their_images(
    tmp_path: Path, first_stage: Any, data: Any, flip: bool
) -> None:
    data.flip = flip
    stream, evaluation = data.train_dataloader(), data.val_dataloader()
    plain = [stream.batch(step) for step in range(12)], list(evaluation)
    data.moments = kept(tmp_path / "latents", first_stage, data)
    assert data.moments.in_memory
    stream = data.train_dataloader()
    cached = [stream.batch(step) for step in range(12)], list(data.val_dataloader())
    for few, many in zip(cached, plain, strict=True):
        for batch, images in zip(few, many, strict=True):
            assert batch.images is None and len(batch) == len(images)
            expected = first_stage.moments(images.images)
            torch.testing.assert_close(batch.moments, expected, rtol=0, atol=1e-6)
            if len(batch) >= 4:  # fewer take other kernels, which round otherwise
                assert torch.equal(batch.moments, expected)


def test_conditions_are_as_without(tmp_path: Path, first_stage: Any, data: Any) -> None:
    data.condition = "caption"
    without = [data.train_dataloader().batch(step).condition for step in range(9)]
    data.moments = kept(tmp_path / "latents", first_stage, data)
    assert [data.train_dataloader().batch(step).condition for step in range(9)] == without


def test_a_batch_is_read_ahead_where_memory_is_too_small(
    tmp_path: Path, first_stage: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.moments = kept(tmp_path / "latents", first_stage, data)
    first = next(iter(data.train_dataloader()))
    monkeypatch.setattr(Latents, "in_memory", False)
    batches = iter(data.train_dataloader())
    assert torch.equal(next(batches).moments, first.moments)
    batches.close()  # type: ignore[attr-defined]


def test_half_precision_is_near(tmp_path: Path, first_stage: Any, data: Any) -> None:
    exact = kept(tmp_path / "exact", first_stage, data)
    half = kept(tmp_path / "half", first_stage, data, "float16")
    every = torch.arange(19), torch.zeros(19, dtype=torch.bool)
    difference = (half.train(*every) - exact.train(*every)).abs()
    assert 0 < difference.max() <= exact.train(*every).abs().max() * 2**-11
    sizes = [(tmp_path / name / "train.npy").stat().st_size - 128 for name in ("exact", "half")]
    assert sizes[0] == 2 * sizes[1]


def test_the_statistics_are_of_all_draws(tmp_path: Path, first_stage: Any, data: Any) -> None:
    facts = kept(tmp_path / "latents", first_stage, data).entry.facts
    images = data.train.images.float() / 127.5 - 1
    moments = first_stage.moments(torch.cat([images, images.flip(-1)]))
    mean, variance = (v.double() for v in first_stage.mean_variance(moments))
    expected = (variance.mean((0, 2, 3)) + mean.var((0, 2, 3), correction=0)).sqrt()
    torch.testing.assert_close(torch.tensor(facts["mean"]).double(), mean.mean((0, 2, 3)))
    torch.testing.assert_close(torch.tensor(facts["deviation"]).double(), expected)


def test_sums_of_parts_add_up(first_stage: Any) -> None:
    shape = (6, 4 if isinstance(first_stage, KLAutoencoder) else 2, 4, 4)
    moments = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    parts = [latent_sums(first_stage, [part]) for part in moments.split(2)]
    whole = latent_sums(first_stage, [moments])
    torch.testing.assert_close(parts[0] + parts[1] + parts[2], whole)
    with pytest.raises(ValueError, match="no training images"):
        latent_statistics(latent_sums(first_stage, []))


def change(what: str, first_stage: Any, data: Any) -> None:
    if what == "weights":
        first_stage.encoder.conv_in.weight.data[0, 0, 0, 0] += 1e-3
    elif what == "scale":
        first_stage.set_scale(0.5, 3.0)
    elif what == "device order":
        first_stage.to(memory_format=torch.channels_last)
    elif what == "a pixel":
        data.train.images[18, 0, 7, 7] ^= 1
    elif what == "a test pixel":
        data.test.images[0, 0, 0, 0] ^= 1
    elif what == "captions":
        data.train.captions[0] = "another"
    elif what == "flip":
        data.flip = False
    for images in (data.train, data.test):
        vars(images).pop("pixel_fingerprint", None)


@pytest.mark.parametrize(
    ("what", "same"),
    [("nothing", True), ("scale", True), ("device order", True), ("captions", True),
     ("weights", False), ("a pixel", False), ("a test pixel", False), ("flip", False)],
)  # fmt: skip
def test_the_key_is_of_all_that_fixes_them(
    first_stage: Any, data: Any, what: str, same: bool
) -> None:
    before = latents_request(first_stage, data, "float32").key
    change(what, first_stage, data)
    assert (latents_request(first_stage, data, "float32").key == before) is same
    assert latents_request(first_stage, data, "float16").key != before
