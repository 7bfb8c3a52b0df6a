"""What a model cannot use is refused, or said in a line where it does no harm."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from eval.study.evaluation import evaluation
from zoo import entry
from zoo.command.parts import exchanged
from zoo.conditioner import ClassLabel, Unconditional
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.guidance import AutoGuidance, Bounded, Classifier, ClassifierFree, Unguided
from zoo.models.noisy_classifier import NoisyClassifier
from zoo.records import Condition
from zoo.sampler import DDIM, Ancestral
from zoo.schedule import Linear
from zoo.system.picture import save_png
from zoo.training import parts

LABELS = torch.tensor([0, 1])


class Half(nn.Module):
    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return x / 2


class Judge(nn.Module):
    num_classes, image_size = 2, 4

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return x.flatten(1)[:, :2]


def model(conditioner: Any = None, guidance: Any = None) -> zoo.DDPM:
    diffusion = GaussianDiffusion(Linear())
    return zoo.DDPM(Half(), diffusion, (1, 4, 4), DDIM(2), conditioner, guidance)


def judge() -> NoisyClassifier:
    return NoisyClassifier(Judge(), Linear(), (1, 4, 4))


DROPPED = ClassLabel(2, dropout=0.1)
FREE = ClassifierFree(2.0)
REFUSED: list[tuple[zoo.DDPM, dict[str, Any], str]] = [
    (model(DROPPED), {"negative": LABELS}, "Unguided at scale 1.0 does not use: leave them out"),
    (model(DROPPED), {"negative": LABELS, "guidance": ClassifierFree(1.0)}, "ClassifierFree at"),
    (model(DROPPED), {"negative": LABELS, "guidance": Bounded(None)}, "Bounded at scale"),
    (model(DROPPED), {"negative": LABELS, "guidance": Classifier(judge())}, "Classifier at"),
    (model(DROPPED), {"negative": LABELS, "guidance": AutoGuidance(model(DROPPED))}, "AutoGuid"),
    (model(), {"negative": LABELS}, "unconditional DDPM does not have"),
    (model(), {"negative": LABELS, "guidance": FREE}, "unconditional DDPM does not have"),
    (model(), {"guidance": FREE}, "guidance scale 2.0 mixes in the null condition"),
    (model(), {"condition": LABELS}, "this DDPM is unconditional and Unguided reads no cond"),
    (model(), {"condition": ["a cat", "a dog"]}, "leave condition out"),
    (model(), {"condition": LABELS, "guidance": AutoGuidance(model())}, "AutoGuidance reads no"),
    (model(), {"condition": LABELS, "guidance": Bounded(None)}, "Bounded reads no"),
    (model(ClassLabel(2)), {"condition": ["a cat", "a dog"]}, "class labels 0 to 1, got captions"),
]


@pytest.mark.parametrize(("module", "options", "message"), REFUSED, ids=range(len(REFUSED)))
def test_generation_refuses_what_it_would_ignore(module: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        module.generate(2, **options)
    assert "\n" not in str(error.value)


def test_what_is_read_is_taken() -> None:
    weak = AutoGuidance(model(ClassLabel(2)))
    for module, options in (
        (model(DROPPED), {"negative": LABELS, "guidance": FREE}),
        (model(DROPPED), {"negative": LABELS, "guidance": Bounded(None, FREE)}),
        (model(ClassLabel(2)), {"negative": LABELS, "guidance": FREE}),
        (model(), {"condition": LABELS, "guidance": Classifier(judge())}),
        (model(), {"condition": LABELS, "guidance": Bounded(None, Classifier(judge()))}),
        (model(), {"condition": LABELS, "guidance": weak}),
        (model(), {"guidance": ClassifierFree(1.0)}),
    ):
        assert len(module.generate(2, **options)) == 2


def test_likelihoods_of_an_unconditional_model_take_no_labels() -> None:
    with pytest.raises(ValueError, match="this DDPM is unconditional"):
        model().bits_per_dim(torch.zeros(2, 1, 4, 4), LABELS)


@pytest.mark.parametrize(
    ("own", "changes", "group", "message"),
    [
        (Unguided(), {"scale": 2.0}, "guidance", "guidance.scale.*Unguided, which takes nothing"),
        (Ancestral(3), {"eta": 0.5}, "sampler", "sampler.eta.*own sampler is Ancestral"),
        (
            Unguided(),
            {"_target_": "zoo.guidance.unguided.Unguided", "scale": 2.0},
            "guidance",
            r"Unguided\(\) takes no arguments",
        ),
    ],
)
def test_settings_that_a_part_lacks_are_refused(own, changes, group, message) -> None:
    with pytest.raises(ValueError, match=message):
        exchanged(own, changes, group)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=ddpm", "autoencoder=a.safetensors"], "autoencoder=a.safetensors: this DDPM takes"),
        (["model=ddpm", "tokenizer=t.json"], "tokenizer=t.json is for a model that reads captions"),
        (["model=ddpm", "text_encoder=digits/small_clip"], "is for a model that reads captions"),
        (["model=autoencoder", "autoencoder=a.safetensors"], "this Autoencoder takes none"),
        (["model=noisy_classifier", "tokenizer=t.json"], "not for this NoisyClassifier"),
    ],
)
def test_training_refuses_files_that_the_model_does_not_read(overrides, message) -> None:
    cfg = entry.compose("train", ["data=digits", *overrides])
    with pytest.raises(ValueError, match=message):
        parts.module(cfg, parts.data_module(cfg))


def test_labels_that_are_not_read_are_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    cfg = entry.compose("train", ["data=digits", "model=ddpm", "conditioner=unconditional"])
    parts.module(cfg, parts.data_module(cfg))
    line = capsys.readouterr().out
    assert "this DDPM is unconditional: it trains without the labels of digits" in line
    assert line.count("\n") == 1
    for overrides in (["data.condition=none"], ["conditioner=class_label"], ["model=autoencoder"]):
        cfg = entry.compose(
            "train", ["data=digits", "model=ddpm", "conditioner=unconditional", *overrides]
        )
        parts.module(cfg, parts.data_module(cfg))
        assert not capsys.readouterr().out
    captioned = SimpleNamespace(condition="caption", name="pictures")
    assert "without the captions of pictures" in str(parts.unread(model(), captioned))
    assert parts.unread(model(Unconditional()), SimpleNamespace(condition="none")) is None


@pytest.mark.parametrize(
    "override", ["sampler.num_steps=3", "guidance.scale=2", "sampler=ddim", "guidance=unguided"]
)
def test_stored_images_and_autoencoders_have_no_sampler(tmp_path: Path, override: str) -> None:
    group = override.partition("=")[0].partition(".")[0]
    common = ["data=digits", "cache=false", "metric=[fid]", "extractor=[small]", override]
    for index in range(3):
        save_png(torch.zeros(1, 16, 16, dtype=torch.uint8), tmp_path / f"{index}.png")
    for subject in (f"images={tmp_path}", "checkpoint=digits/autoencoder"):
        with pytest.raises(ValueError, match=f"{group}.*are not generated, so it would do nothing"):
            evaluation(entry.compose("evaluate", [subject, *common]))
