"""FID of the four digits models in units of the noise floor, with controls that must be far off.

    python benchmarks/digits_quality.py [--images 1080]

Features of the shipped small extractor against the train split. FID-360 is the mean over disjoint
sets of 360 images, as many as are held out; the floor is the FID of the held-out images themselves.
Models are unguided here. Controls: pure noise, an untrained model, held-out images blurred or with
noise added (which must rise monotonically). Distances to the nearest training image (root mean
square difference, 8-bit steps) of generated images stand beside those of held-out images.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from _table import write
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

import zoo
from eval.extractor import Small
from eval.measure import Generation, Setting, evaluate
from eval.measure.reference import measure_reference
from eval.metric import FrechetDistance, NearestImage
from eval.result.record import Result
from zoo import paths
from zoo.data import ImageSet
from zoo.data.source.digits import Digits
from zoo.guidance import Unguided
from zoo.models.ddpm import DDPM

MODELS = ("ddpm", "improved_ddpm", "latent_diffusion", "guided_latent_diffusion")
FLOOR_COUNT = 360


def rows(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """A line of the table each; they differ in subject and name alone."""
    first = settings[0]
    reference = measure_reference(first.reference_set, first.plan())
    return [row(setting, evaluate(setting, reference).result) for setting in settings]


def row(setting: Setting, result: Result) -> dict[str, Any]:
    """One line of the table."""
    small, *larger = (v for key, v in result.values.items() if key.startswith("fid_"))
    near = result.values["nearest_training_image"].detail
    return {
        "subject": setting.name,
        f"fid_{FLOOR_COUNT}": small.value,
        "sets": small.num_sets,
        "floor": small.floor,
        "times_floor": small.value / small.floor,
        "fid_1000": larger[0].value if larger else "",
        "nearest_p5": near["p5"],
        "nearest_p50": near["p50"],
        "held_out_p5": near["test_p5"],
        "held_out_p50": near["test_p50"],
        "images": setting.num_images,
    }


def controls(test: Tensor) -> dict[str, Tensor]:
    """Held-out images made worse step by step, and pure noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(test.shape, generator=generator)
    worse = {"held-out images": test}
    for sigma in (0.5, 0.8, 1.2, 2.0):
        worse[f"blurred, sigma {sigma} pixels"] = gaussian_blur(test, [9, 9], [sigma, sigma])
    for std in (8, 16, 32, 64):
        noisy = (test + std * noise).round().clamp(0, 255)
        worse[f"noise added, std {std} of 255"] = noisy.to(torch.uint8)
    worse["pure noise"] = torch.randint(0, 256, test.shape, generator=generator, dtype=torch.uint8)
    return worse


def main() -> None:
    """Evaluates models and controls."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3 * FLOOR_COUNT)
    parser.add_argument("--folder", default=str(paths.checkpoints() / "digits"))
    options = parser.parse_args()
    folder = Path(options.folder)
    data = Digits()
    data.setup()
    extractor = Small(paths.checkpoints() / "digits/small_extractor.safetensors")

    def setting(name: str, subject: Any, generation: Generation, counts: list[int]) -> Setting:
        metrics = [FrechetDistance, NearestImage]
        return Setting(subject, data, metrics, [extractor], generation, counts, name)

    unguided = Generation(options.images, guidance=Unguided())
    models = [
        setting(name, zoo.load(folder / f"{name}.safetensors"), unguided, [FLOOR_COUNT, 1000])
        for name in MODELS
    ]
    untrained = zoo.load(folder / "ddpm.safetensors")
    assert isinstance(untrained, DDPM)
    torch.manual_seed(0)
    for layer in untrained.denoiser.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    subjects = {"untrained DDPM": untrained}
    subjects |= {name: ImageSet(images) for name, images in controls(data.test.images).items()}
    few = Generation(FLOOR_COUNT)
    others = [setting(name, subject, few, [FLOOR_COUNT]) for name, subject in subjects.items()]
    write(__file__, [*rows(models), *rows(others)])


if __name__ == "__main__":
    main()
