from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from eval.extractor.weights import state
from eval.measure import Evaluation, Generation, Setting, reconstruct
from eval.measure.cache import Cache
from eval.metric import (
    PSNR,
    SSIM,
    KernelDistance,
    PerceptualDistance,
    ReconstructionDistance,
    frechet_distance,
)
from eval.metric.pair.lpips import VGG
from eval.metric.pair.psnr import psnr
from eval.moments.feature_statistics import FeatureStatistics
from eval.result.record import Result
from eval.source.dataset import mixed
from eval.source.reconstructed import first_stage_of, reconstructed
from eval.source.reference_set import ReferenceSet
from eval.table.table import compare
from zoo.data import ImageSet
from zoo.first_stage import KLAutoencoder, VQAutoencoder
from zoo.first_stage.perceptual import LPIPS
from zoo.models.autoencoder import Autoencoder


class Projection:
    """A fixed random projection: an extractor without a training."""

    sha256, resize, name = "00" * 32, "none", "toy"

    def __init__(self, size: int) -> None:
        self.seen: list[int] = []
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(size, 6, generator=generator, dtype=torch.float64)

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen.append(len(images))
        return {"pool": (images.flatten(1).double() / 255) @ self.weight}


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZOO_CACHE", "TORCH_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest.fixture
def data() -> Any:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (40, 1, 16, 16), dtype=torch.uint8, generator=generator)
    test = ImageSet(images)
    return ReferenceSet("toys", (1, 16, 16), None, test)


@pytest.fixture
def module() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(KLAutoencoder(1, 2, 8, (1, 2), num_res_blocks=1, norm_groups=4)).eval()


def measured(
    module: Any, data: Any, *extractors: Any, metrics: Any = (), num_images: int = 1000,
    batch_size: int = 256, seed: int = 0, posterior: str = "mean", cache: Cache | None = None,
    **setting: Any,
) -> Evaluation:  # fmt: skip
    how = Generation(num_images, seed, batch_size=batch_size)
    return reconstruct(Setting(module, data, metrics, extractors, how, **setting), posterior, cache)


def test_the_numbers_are_those_of_pairs_of_held_out_images(module: Autoencoder, data: Any) -> None:
    toy = Projection(256)
    found = measured(module, data, toy, num_images=1000, batch_size=16, name="row")
    values, protocol = found.result.values, found.result.protocol
    assert list(values) == ["rfid_toy_40", "psnr", "ssim", "images_per_second"]
    assert toy.seen == [32, 32, 16]  # both sides of a batch at once, nothing twice

    originals = data.test.images
    with torch.no_grad():
        decoded = module.reconstruct(originals.float() / 127.5 - 1)
    rounded = ((decoded + 1) * 127.5).round().clamp(0, 255).byte()
    each = psnr(originals, rounded)
    assert values["psnr"].value == pytest.approx(float(each.mean()), rel=1e-6)
    assert values["psnr"].detail["deviation"] == pytest.approx(float(each.std(correction=0)), 1e-5)
    both = [FeatureStatistics(toy(images)["pool"]) for images in (originals, rounded)]
    assert values["rfid_toy_40"].value == pytest.approx(frechet_distance(*both), rel=1e-6)

    for value in list(values.values())[:3]:
        assert value.interval is not None
        assert value.interval[0] < value.value < value.interval[1]
        assert len(value.blocks) == 10
        assert value.num_images == 40
    assert values["rfid_toy_40"].corrected is not None  # 36 images are over twice 6 dimensions
    assert "these images themselves" in values["rfid_toy_40"].definition
    assert protocol.num_generated == protocol.num_reference == 40
    assert protocol.labels == "reconstructions of held-out images, from the mean of their latents"
    assert "255^2" in protocol.metrics["psnr"]
    assert Result.from_json(found.result.to_json()) == found.result


def test_images_are_originals_each_before_its_reconstruction(
    module: Autoencoder, data: Any
) -> None:
    found = measured(module, data, num_images=12)
    assert found.images.shape == (24, 1, 16, 16)
    assert found.images.dtype == torch.uint8
    taken = mixed(40, 12)
    torch.testing.assert_close(found.images[::2], data.test.images[taken])
    each = psnr(found.images[::2], found.images[1::2])
    assert found.result.values["psnr"].value == pytest.approx(float(each.mean()), rel=1e-9)
    assert found.result.values["psnr"].interval is None  # too few for blocks
    assert not len(found.pairs)


def test_a_metric_whose_weights_are_missing_is_absent_with_the_reason(
    module: Autoencoder, data: Any
) -> None:
    assert state("vgg16") == "missing"
    found = measured(module, data, metrics=[partial(KernelDistance, subsets=2)])
    assert "zoo doctor" in found.result.absent["lpips"]
    assert "generated images" in found.result.absent["kid"]
    assert list(found.result.values) == ["psnr", "ssim", "images_per_second"]
    alone = measured(module, data, metrics=[SSIM]).result
    assert list(alone.values) == ["ssim", "images_per_second"]
    assert not alone.absent


def test_lpips_is_measured_and_its_weights_are_in_the_protocol(
    module: Autoencoder, data: Any
) -> None:
    torch.manual_seed(0)
    network = LPIPS(4)
    factory = partial(PerceptualDistance, vgg=VGG(network, "ab" * 32, "cd" * 32))
    found = measured(module, data, metrics=[factory], batch_size=7)
    value, protocol = found.result.values["lpips"], found.result.protocol
    pairs = [x.float() / 127.5 - 1 for x in (found.images[::2], found.images[1::2])]
    assert value.value == pytest.approx(float(network(*pairs).double().mean()), rel=1e-5)
    assert (value.extractor, value.sha256) == ("vgg16", "ab" * 32)
    assert protocol.extractors == {"lpips (vgg16)": "ab" * 32}
    assert "cd" * 32 in protocol.metrics["lpips"]


def test_a_chosen_metric_that_cannot_be_measured_is_refused(module: Autoencoder, data: Any) -> None:
    data.test = ImageSet(data.test.images[..., :8, :8].contiguous())
    data.shape = (1, 8, 8)
    found = measured(module, data).result
    assert "too wide for images of 8x8" in found.absent["ssim"]
    with pytest.raises(ValueError, match="too wide for images of 8x8"):
        measured(module, data, metrics=[SSIM])


def test_a_sample_depends_on_seed_and_image_alone(module: Autoencoder, data: Any) -> None:
    def made(posterior: str, seed: int, batch_size: int) -> torch.Tensor:
        some = mixed(40, 8)
        batches = reconstructed(module, data.test, some, posterior, seed, batch_size)
        return torch.cat([batch.images for batch in batches]).int()

    assert not module.training
    assert (made("sample", 0, 8) - made("sample", 0, 3)).abs().max() <= 1  # of rounding
    assert (made("sample", 0, 8) - made("sample", 1, 8)).abs().max() > 1
    assert (made("sample", 0, 8) - made("mean", 0, 8)).abs().max() > 1
    noisy = measured(module, data, posterior="sample", seed=3).result
    assert noisy.protocol.labels.endswith("from a draw of their latents")


def test_the_batch_size_and_the_mode_change_nothing(module: Autoencoder, data: Any) -> None:
    toy = Projection(256)
    one, other = (measured(module.train(), data, toy, batch_size=size) for size in (40, 7))
    for name in ("rfid_toy_40", "psnr", "ssim"):
        a, b = (found.result.values[name] for found in (one, other))
        assert a.value == pytest.approx(b.value, rel=1e-4)
        assert a.standard_error == pytest.approx(b.standard_error, rel=1e-2)
    assert module.first_stage.training


def test_rows_compare_and_another_reconstruction_is_refused(module: Autoencoder, data: Any) -> None:
    toy = Projection(256)
    torch.manual_seed(1)
    vq = Autoencoder(VQAutoencoder(1, 2, 8, (1, 2), 1, mid_attention=False, norm_groups=4))
    rows = [measured(m, data, toy, name=n).result for m, n in ((module, "kl"), (vq, "vq"))]
    table = compare(rows)
    assert {"rfid_toy_40", "psnr", "ssim"} <= {column.key for column in table.columns}
    assert {verdict.metric for verdict in table.verdicts} >= {"psnr", "ssim"}
    drawn = measured(module, data, toy, name="drawn", posterior="sample").result
    with pytest.raises(ValueError, match="protocol.labels"):
        compare([rows[0], drawn])
    fewer = measured(module, data, toy, name="fewer", num_images=30).result
    with pytest.raises(ValueError, match="protocol.num_generated"):
        compare([rows[0], fewer])


def test_subject_and_provenance_are_the_files(module: Autoencoder, data: Any) -> None:
    facts = {"weights": "ema", "training_seconds": 12, "budget": {"images_seen": 640}}
    found = measured(module, data, facts=facts, sha256="12" * 32, metrics=[PSNR]).result
    subject = found.subject
    assert subject.name == subject.model == "Autoencoder"
    assert subject.parameters == sum(p.numel() for p in module.parameters())
    assert subject.flops_per_evaluation == subject.num_steps == 0
    assert subject.flops_decode > 0
    assert (subject.sampler, subject.weights, subject.weights_sha256) == (None, "EMA", "12" * 32)
    assert found.budget.images_seen == 640
    assert found.provenance == facts


def test_a_cached_evaluation_is_used_again(module: Autoencoder, data: Any, tmp_path: Path) -> None:
    cache, toy = Cache(tmp_path / "kept"), Projection(256)
    again = partial(
        measured, module, data, toy, metrics=[PSNR, ReconstructionDistance], cache=cache
    )
    first = again(sha256="12" * 32, name="first")
    seen = list(toy.seen)
    second = again(sha256="12" * 32, name="second")
    assert toy.seen == seen
    assert second.result.subject.name == "second"
    assert replace(second.result, subject=first.result.subject) == first.result
    torch.testing.assert_close(second.images, first.images[: len(second.images)])
    for changed in (
        {"posterior": "sample"},
        {"num_images": 30},
        {"metrics": [ReconstructionDistance]},
    ):
        before = len(toy.seen)
        again(**({"sha256": "12" * 32, "name": "first"} | changed))
        assert len(toy.seen) > before
    before = len(toy.seen)
    again(sha256="34" * 32)
    assert len(toy.seen) > before


def test_a_first_stage_alone_is_an_autoencoder_too(module: Autoencoder, data: Any) -> None:
    assert first_stage_of(module) is first_stage_of(module.first_stage) is module.first_stage
    with pytest.raises(ValueError, match="a LPIPS neither generates nor reconstructs images"):
        first_stage_of(LPIPS(4))
    whole, alone = (measured(part, data, metrics=[PSNR]) for part in (module, module.first_stage))
    assert whole.result.values["psnr"] == alone.result.values["psnr"]


def test_mistakes_are_refused_in_a_line(module: Autoencoder, data: Any) -> None:
    with pytest.raises(ValueError, match="reconstruct=mode: possible are mean, sample"):
        measured(module, data, posterior="mode")
    with pytest.raises(ValueError, match="at least 2 images, got num_images=1"):
        measured(module, data, num_images=1)
    wide = ImageSet(data.test.images.expand(-1, 3, -1, -1).contiguous())
    coloured = replace(data, test=wide, shape=(3, 16, 16))
    with pytest.raises(ValueError, match="takes images of 1 channels, got 3"):
        measured(module, coloured)
    data.test = None
    with pytest.raises(ValueError, match="toys has none"):
        measured(module, data)
