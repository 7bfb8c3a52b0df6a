"""Results that were never measured, for everything that is pure on results."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from eval.report.picture import pair_sheets, png, tile
from eval.result import Budget, Environment, Protocol, Result, Subject, Value
from eval.result.subject import FirstStageRecord


def _result(name: str = "ddpm", fid: float = 4.2, latent: bool = False, **extra: Any) -> Result:
    values = {
        "fid_small_360": Value(
            fid, "Distance of two Gaussians.", False, "small", "ab" * 32, 360, 3,
            floor=2.5, floor_images=360, detail={"set_1": fid - 0.1, "set_2": fid + 0.1},
            title="FID-360 (small)", distance=True,
        ),
        "fid_small_1000": Value(
            fid * 0.6, "Distance of two Gaussians.", False, "small", "ab" * 32, 1000, 1,
            floor=2.5, floor_images=360, title="FID-1000 (small)", distance=True,
        ),
        "clip_score_small_clip": Value(
            31.25, "Agreement of image and caption.", True, "small_clip", "cd" * 32, 1080,
            ceiling=33.0, chance=9.5, title="CLIP score (small_clip)",
        ),
        "nearest_training_image": Value(
            24.0, "Distance to the nearest training image.", None, num_images=1080,
            detail={"p1": 12.0, "p5": 15.0, "p50": 24.0, "p95": 40.0, "test_p1": 11.0,
                    "test_p5": 14.0, "test_p50": 23.0, "test_p95": 39.0,
                    "closer_than_any_test": 0.0},
            title="nearest training image", column="section",
        ),
        "images_per_second": Value(
            123.4, "Images a second.", True, num_images=1080,
            title="images/s", unit="1/s", column="cost",
        ),
    }  # fmt: skip
    protocol = Protocol(
        data="digits", data_fingerprint="ef" * 32, image_size=[1, 16, 16], reference="train",
        num_reference=1437, held_out="test", num_held_out=360, num_generated=1080,
        fid_counts=[360, 1000], extractors={"small": "ab" * 32, "small_clip": "cd" * 32},
        resize={"small": "none", "small_clip": "bicubic to 32"},
        labels="image i has class i mod 10", seed=0, dtype="float32",
        metrics={"fid_small": "Frechet distance", "clip_score_small_clip": "100 max(cos, 0)"},
    )  # fmt: skip
    budget = Budget(
        data_fingerprint="ef" * 32, images_seen=320_000, batch_size=64, optimizer="AdamW",
        learning_rate=1e-3, lr_scheduler="warm-up over 200 steps", gradient_clip=1.0,
        ema="decay 0.999", seed=0, precision="32-true",
        device="Intel(R) Xeon(R) Processor, 2 threads",
    )  # fmt: skip
    first = FirstStageRecord("12" * 32, 210_000, 160_000, 84.0) if latent else None
    subject = Subject(
        name=name, model="DDPM", parameters=1_234_567, flops_per_evaluation=61_000_000,
        flops_decode=22_000_000 if latent else 0, sampler="DDIM, eta 0", grid="trailing",
        num_steps=50, network_evaluations=100.0 if "guided" in name else 50.0,
        guidance="classifier-free, scale 2" if "guided" in name else "none", weights="EMA",
        weights_sha256="34" * 32, config_hash="56" * 32, training_seconds=301.5,
        first_stage=first,
    )  # fmt: skip
    environment = Environment(
        machine="x86_64, 2 cores", device="cpu", threads=2,
        versions={"torch": "2.15.0", "python": "3.11"}, time="2025-11-20T12:00:00+00:00",
    )  # fmt: skip
    return Result(values, protocol, budget, subject, environment, extra)


@pytest.fixture
def make_result() -> Callable[..., Result]:
    """Makes a complete Result; keyword arguments beyond the named ones are its provenance."""
    return _result


@pytest.fixture
def earlier(make_result) -> Callable[..., Result]:
    """Makes a result as earlier versions wrote it: its values say nothing of how they are shown."""
    record = json.loads(make_result().to_json())
    for value in record["values"].values():
        for name in ("title", "unit", "distance", "unbiased", "column"):
            del value[name]

    def result(name: str = "earlier") -> Result:
        return Result.from_json(
            json.dumps({**record, "subject": {**record["subject"], "name": name}})
        )

    return result


# Four rows of a page, with intervals, sample grids and closest pairs.

_NAMES = ("ddpm", "improved_ddpm", "latent_diffusion", "guided_latent_diffusion")


def _sure(result, centre, turn=1, **changes):
    """The result with an interval, and blocks that waver in another order for another turn."""
    name = "fid_small_1000"
    blocks = [centre + 0.01 * ((turn * k) % 10 - 4.5) for k in range(10)]
    ends = [centre - 0.02, centre + 0.02]
    value = replace(result.values[name], value=centre, blocks=blocks, interval=ends, **changes)
    return replace(result, values={**result.values, name: value})


@pytest.fixture
def results(make_result):
    history = [[step, 1.0 / step] for step in range(1, 400)]
    rows = [
        make_result(name, fid, "latent" in name, history=history)
        for name, fid in zip(_NAMES, (9.5, 10.25, 100.0, 2.0), strict=True)
    ]
    return list(map(_sure, rows, (2, 2, 3, 4), (1, 3, 7, 9)))


@pytest.fixture
def samples():
    images = torch.randint(256, (20, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    return {name: png(tile(images.byte(), 10)) for name in ("real", *_NAMES)}


@pytest.fixture
def pairs():
    images = torch.randint(256, (8, 2, 1, 16, 16), generator=torch.Generator().manual_seed(1))
    return pair_sheets({name: images.byte() for name in _NAMES})


@pytest.fixture
def sure() -> Callable[..., Result]:
    """Gives a result an interval and blocks."""
    return _sure
