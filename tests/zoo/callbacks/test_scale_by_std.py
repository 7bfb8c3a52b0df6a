from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zoo.callbacks import ScaleByStd, ScaleByTrainSet
from zoo.callbacks.scale_by_std import LatentScale
from zoo.data import ImageSet
from zoo.data.stream import to_float
from zoo.draw import Draw
from zoo.encodings.entry import entry
from zoo.encodings.latents import Latents, latents_request
from zoo.first_stage import Identity, KLAutoencoder, VQAutoencoder
from zoo.records import Batch


class Processes:
    """Several processes, one after the other: all but the last only leave their sums."""

    def __init__(self, world_size: int) -> None:
        self.world_size, self.left = world_size, torch.zeros(())
        self.root_device = torch.device("cpu")

    def reduce(self, sums: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum" and sums.dtype == torch.float64
        self.left = self.left + sums
        return self.left


def step(
    first_stage: Any,
    batch: Batch,
    processed: int = 0,
    callback: LatentScale | None = None,
    data: Any = None,
    world_size: int = 1,
) -> None:
    total = SimpleNamespace(processed=processed)
    progress = SimpleNamespace(batch_progress=SimpleNamespace(total=total))
    processes = Processes(world_size)
    for rank in range(world_size):
        trainer: Any = SimpleNamespace(
            fit_loop=SimpleNamespace(epoch_loop=progress),
            strategy=processes,
            datamodule=data,
            world_size=world_size,
            global_rank=rank,
        )
        module: Any = SimpleNamespace(first_stage=first_stage, training_seed=3, device="cpu")
        share = len(batch) // world_size
        rows = slice(rank * share, (rank + 1) * share)
        own = Batch(*(None if part is None else part[rows] for part in batch))
        (callback or ScaleByStd()).on_train_batch_start(trainer, module, own, 0)


def first_stages() -> list[Any]:
    torch.manual_seed(0)
    return [
        kind(1, 2, 8, (1, 2), 1, mid_attention=False, norm_groups=4).requires_grad_(False)
        for kind in (KLAutoencoder, VQAutoencoder)
    ]


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_first_batch_gives_one_scale(world_size: int) -> None:
    first_stage = first_stages()[0]
    images = torch.rand(16, 1, 8, 8) * 2 - 1
    moments = first_stage.moments(images)
    drawn = first_stage.posterior(moments, Draw(3, range(16), "train/scale"))
    expected = (1 / drawn.double().std()).float()
    for batch in (Batch(images), Batch(None, moments=moments)):
        first_stage.set_scale(0.5, 7.0)
        step(first_stage, batch, world_size=world_size)
        torch.testing.assert_close(first_stage.scale, expected.expand(1, 2, 1, 1))
        assert not first_stage.shift.any()
    first_stage.set_scale(0.5, 7.0)
    step(first_stage, Batch(images), processed=1)  # resumed, or the second batch
    assert first_stage.scale.eq(7).all()


@pytest.mark.parametrize("kind", [0, 1], ids=["kl", "vq"])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_the_train_set_gives_unit_deviation(
    tmp_path: Path, kind: int, per_channel: bool, world_size: int, flip: bool
) -> None:
    first_stage = first_stages()[kind]
    pixels = torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8)
    train, test = ImageSet(pixels), ImageSet(pixels[:4])
    data: Any = SimpleNamespace(
        name="few", train=train, test=test, flip=flip, batch_size=8, shape=(1, 8, 8), moments=None
    )
    callback, batch = ScaleByTrainSet(per_channel), Batch(to_float(pixels[:6]))
    step(first_stage, batch, callback=callback, data=data, world_size=world_size)
    encoded = first_stage.shift.clone(), first_stage.scale.clone()

    images = to_float(torch.cat([pixels, pixels.flip(-1)]) if flip else pixels)
    mean, variance = first_stage.mean_variance(first_stage.moments(images))
    mean = (mean.double() - first_stage.shift) * first_stage.scale
    over = (0, 2, 3) if per_channel else (0, 1, 2, 3)
    second = (mean.square() + variance * first_stage.scale.square()).mean(over)
    square = second - mean.mean(over).square()
    torch.testing.assert_close(square, torch.ones_like(square), atol=1e-6, rtol=0)
    assert bool(first_stage.shift.any()) is per_channel

    data.moments = Latents(
        entry(tmp_path / "kept", latents_request(first_stage, data, "float32")), flip
    )
    first_stage.set_scale(0.5, 7.0)
    data.train = None  # no image is encoded again
    step(first_stage, batch, callback=callback, data=data, world_size=world_size)
    torch.testing.assert_close((first_stage.shift, first_stage.scale), encoded)


@pytest.mark.parametrize("callback", [ScaleByStd(), ScaleByTrainSet()])
def test_pixels_have_no_scale(callback: LatentScale) -> None:
    with pytest.raises(ValueError, match="this model has none"):
        step(Identity(), Batch(torch.zeros(1, 1, 8, 8)), callback=callback)
