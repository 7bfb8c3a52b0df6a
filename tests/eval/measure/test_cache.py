from __future__ import annotations

import importlib
import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from eval.extractor.extractor import DistinctTexts
from eval.measure import Evaluation, Generation, Setting, evaluate
from eval.measure import cache as cache_module
from eval.measure.cache import Cache
from eval.metric import BitsPerDim, ClipScore, FrechetDistance, KernelDistance, NearestImage
from eval.result.record import Result
from zoo import DDPM
from zoo.conditioner import ClassLabel
from zoo.data import ImageSet
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.sampler import DDIM, Ancestral
from zoo.schedule import Linear


class Projection:
    """An extractor without a training, which counts what it is shown."""

    sha256 = "00" * 32

    def __init__(self, resize: str = "none") -> None:
        self.name, self.resize, self.seen = "small", resize, 0
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.randn(16, 5, generator=generator, dtype=torch.float64)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        self.seen += len(images)
        return {"pool": (images.flatten(1).double() / 255 - 0.5) @ self.weight}


def split(count: int, seed: int) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 1, 4, 4), generator=generator)
    return ImageSet(images.byte(), torch.arange(count) % 2, None, ("a", "b"))


@pytest.fixture(scope="module")
def data() -> Any:
    train, test = split(30, 0), split(24, 1)
    return SimpleNamespace(
        name="numbers", shape=(1, 4, 4), train=train, test=test, flip=False,
        fingerprint=train.fingerprint, num_classes=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> DDPM:
    torch.manual_seed(0)
    net = UNet(1, 1, 4, (1,), 1, attention_at=(), num_classes=2, norm_groups=2)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    return DDPM(net, GaussianDiffusion(Linear()), (1, 4, 4), Ancestral(3), ClassLabel(2)).eval()


METRICS = [FrechetDistance, NearestImage, partial(KernelDistance, subsets=3)]


def measured(
    model: Any, data: Any, cache: Cache | None, extractor: Any = None, metrics: Any = METRICS,
    fid_counts: Any = (22,), sha256: str = "weights", name: str | None = None, **options: Any,
) -> Evaluation:  # fmt: skip
    how = Generation(**{"num_images": 22, "batch_size": 4} | options)
    setting = Setting(
        model, data, metrics, [extractor or Projection()], how, fid_counts, name, sha256=sha256
    )
    return evaluate(setting, cache=cache)


def measured_images(images: ImageSet, data: Any, extractor: Any, cache: Cache) -> Evaluation:
    setting = Setting(images, data, [FrechetDistance], [extractor], fid_counts=[24])
    return evaluate(setting, cache=cache)


def settled(result: Result) -> Result:
    """Without what the clock says."""
    speed = replace(result.values["images_per_second"], value=1.0)
    environment = replace(result.environment, time="")
    values = {**result.values, "images_per_second": speed}
    return replace(result, values=values, environment=environment)


def test_the_same_evaluation_costs_no_network_call(model: DDPM, data: Any, tmp_path: Path) -> None:
    cache, extractor = Cache(tmp_path), Projection()
    first = measured(model, data, cache, extractor=extractor)
    assert extractor.seen == 30 + 24 + 22
    assert not (tmp_path / "images").exists() or not list((tmp_path / "images").iterdir())
    extractor.seen, model.network_evaluations = 0, 0
    again = measured(model, data, cache, extractor=extractor, name="other", batch_size=7)
    assert extractor.seen == model.network_evaluations == 0
    assert again.result.subject.name == "other"
    assert replace(again.result, subject=first.result.subject) == first.result
    assert torch.equal(again.images, first.images)


CHANGES: dict[str, dict[str, Any]] = {
    "a weight": {"sha256": "others"},
    "the seed": {"seed": 1},
    "the sampler": {"sampler": Ancestral(4)},
    "the walk": {"sampler": DDIM(3)},
    "the resize": {"extractor": Projection("bicubic")},
    "a metric's settings": {"metrics": [*METRICS[:2], partial(KernelDistance, subsets=4)]},
    "the count": {"num_images": 23},
    "the sets": {"fid_counts": [11, 22]},
    "the likelihood": {"metrics": [*METRICS, partial(BitsPerDim, num_images=3, num_steps=2)]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_any_change_is_measured_again(
    model: DDPM, data: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    cache = Cache(tmp_path)
    measured(model, data, cache)
    extractor = change.get("extractor") or Projection()
    extractor.seen = 0
    measured(model, data, cache, **{**change, "extractor": extractor})
    assert extractor.seen > 0


def test_one_pixel_or_another_source_is_measured_again(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, extractor = Cache(tmp_path), Projection()

    def seen(images: Tensor) -> int:
        extractor.seen = 0
        measured_images(ImageSet(images), data, extractor, cache)
        return extractor.seen

    assert seen(data.test.images) > 0
    assert seen(data.test.images.clone()) == 0
    changed = data.test.images.clone()
    changed[3, 0, 1, 1] ^= 1
    assert seen(changed) > 0
    monkeypatch.setattr(cache_module, "source", lambda: "another version")
    assert seen(changed) > 0


def test_another_label_of_stored_images_is_measured_again(data: Any, tmp_path: Path) -> None:
    cache, extractor = Cache(tmp_path), Projection()
    labels = data.test.labels.clone()
    for expected in (True, False):
        extractor.seen = 0
        measured_images(ImageSet(data.test.images, labels), data, extractor, cache)
        assert (extractor.seen > 0) is expected
    labels[0] = 1 - labels[0]
    measured_images(ImageSet(data.test.images, labels), data, extractor, cache)
    assert extractor.seen > 0


def test_an_edited_sampler_of_a_user_is_measured_again(
    model: DDPM, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from zoo.sampler import DDIM\n\nclass Mine(DDIM):\n    pass\n"
    file = tmp_path / "own_sampler_of_a_test.py"
    file.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    sampler = importlib.import_module(file.stem).Mine(2)
    cache, extractor = Cache(tmp_path / "cache"), Projection()
    measured(model, data, cache, sampler=sampler, extractor=extractor)
    extractor.seen = 0
    measured(model, data, cache, sampler=sampler, extractor=extractor)
    assert extractor.seen == 0
    file.write_text(code + "    # another walk\n")
    measured(model, data, cache, sampler=sampler, extractor=extractor)
    assert extractor.seen > 0


def test_interrupted_anywhere_it_resumes_to_the_same_result(
    model: DDPM, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measured(model, data, None)
    generate = model.generate
    chance = random.Random(0)
    for trial in range(20):
        cache = Cache(tmp_path / str(trial))
        made: list[int] = []

        def dying(
            *args: Any, last: int = chance.randrange(5), made: list[int] = made, **kw: Any
        ) -> Tensor:
            if len(made) == last:
                raise KeyboardInterrupt
            images = generate(*args, **kw)
            made.append(len(images))
            return images

        monkeypatch.setattr(model, "generate", dying)
        with pytest.raises(KeyboardInterrupt):
            measured(model, data, cache)
        monkeypatch.setattr(model, "generate", generate)
        model.network_evaluations = 0
        found = measured(model, data, cache)
        assert settled(found.result) == settled(whole.result)
        assert torch.equal(found.images, whole.images)
        assert found.result.subject.network_evaluations == 3  # kept images are counted,
        assert model.network_evaluations == 3 * (22 - sum(made))  # not made again


def test_only_batches_of_the_same_boundaries_are_continued(
    model: DDPM, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch cut short, or a rest of one image, would round differently."""
    generate, made = model.generate, []

    def dying(*args: Any, **kw: Any) -> Tensor:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(images := generate(*args, **kw))
        return images

    cache = Cache(tmp_path)
    monkeypatch.setattr(model, "generate", dying)
    with pytest.raises(KeyboardInterrupt):
        measured(model, data, cache)
    calls: list[int] = []

    def counting(count: int, *args: Any, **kw: Any) -> Tensor:
        calls.append(count)
        return generate(count, *args, **kw)

    monkeypatch.setattr(model, "generate", counting)
    for num_images, batch_size, expected in ((9, 4, [5]), (22, 5, [5, 5, 5, 7]), (12, 4, [])):
        calls.clear()
        measured(
            model, data, cache, num_images=num_images, batch_size=batch_size, fid_counts=[9],
            metrics=[FrechetDistance],
        )  # fmt: skip
        assert calls == expected
        monkeypatch.setattr(model, "generate", dying)
        made.clear()
        with pytest.raises(KeyboardInterrupt):
            measured(model, data, cache)
        monkeypatch.setattr(model, "generate", counting)


class Words(Projection):
    """Features of captions that depend on how many are encoded together, as rounding does."""

    def __init__(self) -> None:
        super().__init__()
        self.text = DistinctTexts(
            lambda texts: torch.tensor([[len(t) + len(texts), 1, 2, 3, 4] for t in texts]).float()
        )


def test_caption_scores_do_not_depend_on_what_was_measured_before(
    model: DDPM, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = {2 * i + k: f"{'a' * (i + 1)} {k}" for i in range(15) for k in (0, 1)}
    captioned = SimpleNamespace(**vars(data))
    for name in ("train", "test"):
        images = getattr(data, name)
        texts = [captions[i % 30] for i in range(len(images))]
        setattr(captioned, name, ImageSet(images.images, images.labels, texts, ("a", "b")))
    options: Any = {"metrics": [ClipScore], "extractor": Words()}
    whole = measured(model, captioned, Cache(tmp_path / "whole"), **options)
    generate = model.generate

    def dying(*args: Any, **kw: Any) -> Tensor:
        if 8 in kw["indices"]:
            raise KeyboardInterrupt
        return generate(*args, **kw)

    monkeypatch.setattr(model, "generate", dying)
    with pytest.raises(KeyboardInterrupt):
        measured(model, captioned, Cache(tmp_path / "broken"), **options)
    monkeypatch.setattr(model, "generate", generate)
    options["extractor"] = Words()  # of another process: the held-out captions come from the cache
    continued = measured(model, captioned, Cache(tmp_path / "broken"), **options)
    assert settled(continued.result) == settled(whole.result)
