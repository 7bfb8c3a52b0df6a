"""Networks that cannot guide a model are refused before anything is drawn, with the remedy."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

import zoo
from zoo.conditioner import ClassLabel, Unconditional
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.first_stage import KLAutoencoder
from zoo.guidance import AutoGuidance, Bounded, Classifier, ClassifierFree
from zoo.models.noisy_classifier import NoisyClassifier
from zoo.sampler import DDIM
from zoo.schedule import Cosine, FromBetas, Linear


class Judge(nn.Module):
    def __init__(self, num_classes=2, size=8) -> None:
        super().__init__()
        self.num_classes, self.image_size = num_classes, size

    def forward(self, x, t):
        return x.flatten(1)[:, : self.num_classes]


class Halves(nn.Module):
    def forward(self, x, t, condition=None):
        return x / 2


def autoencoder(seed=0):
    torch.manual_seed(seed)
    return KLAutoencoder(1, 2, channels=8, channel_mult=(1, 1), num_res_blocks=1, norm_groups=4)


def pixels(schedule=None, shape=(1, 8, 8), conditioner=None, **options):
    return zoo.DDPM(
        Halves(),
        GaussianDiffusion(schedule or Linear()),
        shape,
        DDIM(2),
        conditioner or ClassLabel(2),
        **options,
    )


def latents(seed=0):
    return zoo.LatentDiffusion(
        Halves(), GaussianDiffusion(Linear()), autoencoder(seed), (1, 8, 8), DDIM(2), ClassLabel(2)
    )


def judge(schedule=None, shape=(1, 8, 8), num_classes=2, first_stage=None):
    side = shape[-1] if first_stage is None else first_stage.latent_shape(shape)[-1]
    return NoisyClassifier(Judge(num_classes, side), schedule or Linear(), shape, first_stage)


class Captioned(Unconditional):
    reads_captions = True


CASES = [
    (pixels(), Classifier(judge(shape=(1, 16, 16))),
     r"classifier is for images \(1, 16, 16\).*draws \(1, 8, 8\): .*data.image_size=8"),
    (pixels(), Classifier(judge(shape=(3, 8, 8))), r"data.image_size=8 data.channels=1"),
    (pixels(), Classifier(judge(num_classes=3)), "classifier knows 3 classes, the model 2"),
    (pixels(), Classifier(judge(Cosine())),
     "noise levels of Cosine with 1000 times, the model on those of Linear"),
    (pixels(), Classifier(judge(Linear(500))), "Linear with 500 times"),
    (latents(), Classifier(judge()),
     r"knows pixels \(1, 8, 8\), the model works in latents \(2, 4, 4\).*autoencoder=FILE"),
    (pixels(), Classifier(judge(first_stage=autoencoder())),
     r"knows latents \(2, 4, 4\), the model works in pixels .*without an autoencoder"),
    (latents(), Classifier(judge(first_stage=autoencoder(1))), "latents of another autoencoder"),
    (latents(), AutoGuidance(latents(1)), "guidance.weak knows the latents of another autoencoder"),
    (pixels(), AutoGuidance(latents()), r"weak knows latents \(2, 4, 4\)"),
    (pixels(), AutoGuidance(pixels(Cosine())), "train one with the model's schedule"),
    (pixels(), AutoGuidance(pixels(conditioner=ClassLabel(3))), "weak knows 3 classes"),
    (pixels(conditioner=Captioned()), AutoGuidance(pixels()),
     "the model reads captions, guidance.weak labels"),
    (pixels(), AutoGuidance(pixels(conditioner=Captioned())),
     "the model reads labels, guidance.weak captions"),
    (pixels(), Bounded(None, Classifier(judge(num_classes=3))), "classifier knows 3 classes"),
    (pixels(), Classifier(judge(), guidance=ClassifierFree(2.0)), "conditioner.dropout=0.1"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "guidance", "message"), CASES, ids=range(len(CASES)))
def test_what_cannot_guide_is_refused(module, guidance, message) -> None:
    with pytest.raises(ValueError, match=message):
        module.generate(2, guidance=guidance)


def test_what_agrees_is_not() -> None:
    module = latents()
    rounded = autoencoder()
    rounded.load_state_dict({k: v.half().float() for k, v in rounded.state_dict().items()})
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64).tolist()
    for guidance in (
        Classifier(judge(first_stage=autoencoder())),
        Classifier(judge(first_stage=rounded)),  # kept in half precision
        Classifier(judge(FromBetas(betas), first_stage=autoencoder())),  # the same numbers
        AutoGuidance(latents()),
        Classifier(judge(first_stage=autoencoder()), guidance=AutoGuidance(latents())),
    ):
        assert module.generate(1, guidance=guidance).shape == (1, 1, 8, 8)


def test_a_model_cannot_keep_a_guidance_that_holds_a_network(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"own guidance cannot hold.*guidance.classifier=FILE"):
        pixels(guidance=Classifier(judge()))
    module = pixels()
    module.guidance = Bounded(None, AutoGuidance(copy.deepcopy(module)))
    with pytest.raises(ValueError, match=r"own guidance cannot hold.*guidance.weak=FILE"):
        module.save(tmp_path / "model.safetensors")
