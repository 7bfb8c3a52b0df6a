from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zoo.callbacks import ScaleByStd
from zoo.draw import Draw
from zoo.first_stage import Identity, KLAutoencoder
from zoo.records import Batch


def step(first_stage: Any, batch: Batch, processed: int = 0) -> None:
    total = SimpleNamespace(processed=processed)
    progress = SimpleNamespace(batch_progress=SimpleNamespace(total=total))
    trainer: Any = SimpleNamespace(
        fit_loop=SimpleNamespace(epoch_loop=progress),
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )
    module: Any = SimpleNamespace(first_stage=first_stage, training_seed=3)
    ScaleByStd().on_train_batch_start(trainer, module, batch, 0)


def test_the_first_batch_gives_one_scale(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first_stage = KLAutoencoder(1, 2, 8, (1, 2), 1, mid_attention=False, norm_groups=4)
    images = torch.rand(4, 1, 8, 8) * 2 - 1
    moments = first_stage.moments(images).detach()
    drawn = first_stage.posterior(moments, Draw(3, range(4), "train/scale"))
    for batch in (Batch(images), Batch(None, moments=moments)):
        first_stage.set_scale(0.5, 7.0)
        step(first_stage, batch)
        torch.testing.assert_close(first_stage.scale, (1 / drawn.std()).expand(1, 2, 1, 1))
        assert not first_stage.shift.any()
    first_stage.set_scale(0.5, 7.0)
    step(first_stage, Batch(images), processed=1)  # resumed, or the second batch
    assert first_stage.scale.eq(7).all()


def test_pixels_have_no_scale() -> None:
    with pytest.raises(ValueError, match="sets the scale of latents"):
        step(Identity(), Batch(torch.zeros(1, 1, 8, 8)))
