from __future__ import annotations

from pathlib import Path

import pytest
import torch

from eval.metric.frechet import frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from eval.rosetta import main
from eval.source.reference_set import ReferenceSet
from eval.study.rosetta import readings, to_markdown
from zoo import checkpoint
from zoo.data import ImageSet
from zoo.models.small_extractor import SmallExtractor


class Projection:
    sha256 = "00" * 32

    def __init__(self, name: str, resize: str, size: int) -> None:
        self.name, self.resize = name, resize
        generator = torch.Generator().manual_seed(size)
        self.weight = torch.randn(16, size, generator=generator, dtype=torch.float64)

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"pool": images.flatten(1).double() / 255 @ self.weight}


def split(count: int, seed: int) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 1, 4, 4), generator=generator).byte()
    return ImageSet(images, torch.arange(count) % 2, None, ("a", "b"))


def test_every_protocol_is_the_distance_it_names() -> None:
    data = ReferenceSet("numbers", (1, 4, 4), split(30, 0), split(24, 1))
    images = split(21, 2).images
    judges = [Projection("a", "none", 3), Projection("b", "bicubic", 5)]
    found = readings(ImageSet(images), data, judges, batch_size=8)
    assert [(r.extractor, r.num_images) for r in found] == [
        *[("a", 21), ("a", 10)] * 2, *[("b", 21), ("b", 10)] * 2,
    ]  # fmt: skip
    for row in found:
        judge = judges[row.extractor == "b"]
        reference = data.train if row.reference == "train, 30 images" else data.test
        sets = (judge(some)["pool"] for some in (images[: row.num_images], reference.images))
        want = frechet_distance(*(FeatureStatistics(features) for features in sets))
        assert row.distance == pytest.approx(want, rel=1e-9)
    text = to_markdown(found, {"c": "no weights"})
    assert "8 numbers from" in text and "- c: no weights" in text
    with pytest.raises(ValueError, match="at least 4 images of shape"):
        readings(ImageSet(images[:3]), data, judges)


def test_the_verb_names_unavailable_protocols(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = checkpoint.save(SmallExtractor((1, 16, 16), 10), tmp_path / "extractor.safetensors")
    main([
        "checkpoint=digits/latent_diffusion", "num_images=8", f"extractor.small.path={path}",
        f"run_dir={tmp_path}/out", "extractor=[small,inception]",
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert "| small |" in printed and "- inception: " in printed
    assert (tmp_path / "out" / "rosetta.md").read_text() in printed
