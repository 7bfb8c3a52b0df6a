from __future__ import annotations

import functools

import pytest
import torch
from lightning import Trainer

from zoo.checkpoint import load
from zoo.data import Digits
from zoo.entry import compose
from zoo.models.small_extractor import SmallExtractor
from zoo.recipe import Recipe
from zoo.records import Batch

LIGHTNING = pytest.mark.filterwarnings("ignore:.*many workers", "ignore:.*LeafSpec")


def small(**options: object) -> SmallExtractor:
    torch.manual_seed(0)
    recipe = Recipe(functools.partial(torch.optim.AdamW, lr=5e-3))
    return SmallExtractor((1, 8, 8), 10, recipe, channels=(8, 16), **options)


def batch(count: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 1, 8, 8, generator=generator) * 2 - 1
    return Batch(images, torch.arange(count) % 10)


def test_loss_is_the_stated_sum() -> None:
    from torch.nn.functional import cross_entropy

    from zoo.data.augmentation import moved, noisy

    module, given = small(thumbnail_weight=3.0), batch()
    draw = module.draw(4, "augmentation")
    clean = moved(given.images, draw)
    features = module(noisy(clean, draw))
    error = (module.thumbnail(features["pool"]) - clean.flatten(1)).square().mean()
    expected = cross_entropy(features["logits"], given.condition) + 3 * error
    torch.testing.assert_close(module.training_step(given, 0)["loss"], expected)


def test_shapes_and_independence_of_the_batch() -> None:
    module = small().eval()
    images = batch(5).images
    features = module(images)
    assert features["pool"].shape == (5, 64)
    assert features["logits"].shape == (5, 10)
    alone = module(images[3:4])["pool"]
    torch.testing.assert_close(features["pool"][3:4], alone, rtol=1e-4, atol=1e-6)
    assert (features["pool"][0] - features["pool"][1]).abs().max() > 1e-3


def test_a_file_gives_the_features_back(tmp_path) -> None:
    module = small().eval()
    loaded = load(module.save(tmp_path / "extractor.safetensors"))
    images = batch().images
    assert torch.equal(loaded(images)["pool"], module(images)["pool"])
    assert loaded.recipe is None


@LIGHTNING
def test_learns_digits_in_seconds(tmp_path) -> None:
    data = Digits(image_size=8, batch_size=64)
    module = small()
    trainer = Trainer(
        max_steps=150,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data)
    with torch.no_grad():
        features = module.eval()(data.test.images / 127.5 - 1)
    right = features["logits"].argmax(dim=1) == data.test.labels
    assert right.float().mean() > 0.7


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"set data\.num_classes"):
        SmallExtractor((1, 8, 8), None)
    with pytest.raises(ValueError, match="multiples of 8"):
        SmallExtractor((1, 8, 8), 10, channels=(12,))
    with pytest.raises(ValueError, match=r"made for images \(1, 8, 8\), got \(3, 8, 8\)"):
        small()(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="data.condition=label"):
        small().training_step(Batch(batch().images, ["a", "b", "c", "d"]), 0)


def test_config_says_how_long_it_trains() -> None:
    cfg = compose("train", ["model=small_extractor", "data=cifar10"])
    assert cfg.data.condition == "label"
    assert cfg.trainer.max_steps == 1000
    assert list(cfg.model.image_shape) == [3, 32, 32]
    assert compose("train", ["model=small_extractor", "trainer.max_steps=7"]).trainer.max_steps == 7
    assert compose("train", ["model=small_extractor", "trainer=cpu"]).trainer.max_steps == 1000
