"""A guiding network is named by its file on the command line, and by its hash in a result."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import zoo
from eval.measure import Generation, Setting, evaluate
from eval.metric import NearestImage
from eval.source.generated import conditions_of
from zoo.checkpoint import sha256
from zoo.classifier import EncoderUNet
from zoo.command.parts import exchanged
from zoo.command.sample import sample
from zoo.conditioner import ClassLabel, Unconditional
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.entry import compose
from zoo.guidance import AutoGuidance, Classifier, ClassifierFree, Unguided
from zoo.models.noisy_classifier import NoisyClassifier
from zoo.sampler import DDIM
from zoo.schedule import Linear

SMALL = {
    "channels": 8,
    "channel_mult": (1,),
    "num_res_blocks": 1,
    "attention_at": (),
    "norm_groups": 4,
}


def randomized(module):
    generator = torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module


def noisier(module):
    with torch.no_grad():
        module.denoiser.conv_out.bias.add_(0.1)
    return module


def model(conditional=False) -> zoo.DDPM:
    rows = 10 if conditional else None
    conditioner = ClassLabel(10) if conditional else Unconditional()
    return zoo.DDPM(
        randomized(UNet(1, 1, num_classes=rows, **SMALL)),
        GaussianDiffusion(Linear()),
        (1, 16, 16),
        DDIM(3),
        conditioner,
    ).eval()


@pytest.fixture
def files(tmp_path):
    network = EncoderUNet(1, 10, 16, head_channels=8, **SMALL)
    classifier = NoisyClassifier(randomized(network), Linear(), (1, 16, 16))
    found = {"model": model(), "conditional": model(True), "classifier": classifier}
    return {name: part.save(tmp_path / f"{name}.safetensors") for name, part in found.items()}


def drawn(files, tmp_path, *overrides, of="model"):
    out = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
    path = sample(
        compose("sample", [f"checkpoint={files[of]}", "num_images=3", f"out={out}", *overrides])
    )
    return torch.from_numpy(np.load(path)["arr_0"]).permute(0, 3, 1, 2)


@pytest.fixture
def data():
    from zoo.data import Digits

    module = Digits(name="digits", image_size=16, channels=1, num_classes=10)
    module.setup()
    return module


def test_zoo_sample_with_a_classifiers_file(files, tmp_path) -> None:
    images = drawn(
        files, tmp_path, "guidance=classifier", f"guidance.classifier={files['classifier']}",
        "guidance.scale=200", "condition=[7,1]",
    )  # fmt: skip
    guidance = Classifier(zoo.load(files["classifier"]), 200.0)
    expected = zoo.load(files["model"]).generate(3, [7, 1, 7], guidance=guidance)
    assert torch.equal(images, expected)
    assert not torch.equal(images, drawn(files, tmp_path))
    with pytest.raises(ValueError, match=r"condition=\[10\]: labels of this model are 0 to 9"):
        drawn(
            files, tmp_path, "guidance=classifier", f"guidance.classifier={files['classifier']}",
            "condition=10",
        )  # fmt: skip


def test_zoo_sample_with_a_weaker_models_file(files, tmp_path) -> None:
    images = drawn(
        files, tmp_path, "guidance=autoguidance", f"guidance.weak={files['model']}",
        "guidance.interval=[400,1000]", "condition=4", of="conditional",
    )  # fmt: skip
    guidance = AutoGuidance(zoo.load(files["model"]), 2.0, [400, 1000])
    expected = zoo.load(files["conditional"]).generate(3, [4, 4, 4], guidance=guidance)
    assert torch.equal(images, expected)


def test_zoo_sample_with_a_negative_condition(files, tmp_path) -> None:
    images = drawn(
        files, tmp_path, "guidance=classifier_free", "guidance.scale=3", "condition=4",
        "negative=5", of="conditional",
    )  # fmt: skip
    module = zoo.load(files["conditional"])
    expected = module.generate(3, [4] * 3, guidance=ClassifierFree(3.0), negative=[5] * 3)
    assert torch.equal(images, expected)


def test_one_guidance_inside_another(files) -> None:
    asked = {
        "_target_": "zoo.guidance.bounded.Bounded",
        "bounds": [-2, 2],
        "guidance": {
            "_target_": "zoo.guidance.classifier.Classifier",
            "classifier": str(files["classifier"]),
        },
    }
    made = exchanged(Unguided(), asked, "guidance")
    assert isinstance(made.guidance.classifier, NoisyClassifier)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["guidance=classifier"], "guidance.classifier is missing: give guidance.classifier=FILE"),
        (["guidance=classifier", "guidance.classifier=nowhere"], "there is no checkpoint nowhere"),
        (
            ["guidance=classifier", "guidance.classifier={model}"],
            "but a DDPM$",
        ),
        (["guidance=autoguidance", "guidance.weak={classifier}"], "is not a diffusion model"),
        (["guidance=autoguidance", "guidance.weak={model}", "guidance.interval=[9,5]"], "did you"),
    ],
)
def test_a_wrong_file_is_said_in_one_line(files, tmp_path, overrides, message) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        drawn(files, tmp_path, *(override.format(**files) for override in overrides))
    assert "\n" not in str(raised.value)


def test_a_saved_file_cannot_name_a_file_to_load(files, tmp_path) -> None:
    from zoo.checkpoint.build import check_config

    for target in ("zoo.checkpoint.load", "zoo.load"):
        with pytest.raises(ValueError, match="is refused"):
            check_config({"_target_": target, "path": "x.safetensors"})


def test_a_result_holds_settings_hash_and_evaluations(files, data) -> None:
    module, network = zoo.load(files["model"]), zoo.load(files["classifier"])

    def measured(guidance):
        how = Generation(12, batch_size=5, guidance=guidance)
        return evaluate(Setting(module, data, [NearestImage], generation=how)).result

    result = measured(Classifier(network, 2.0, [400, 1000]))
    subject, (used,) = result.subject, result.subject.guided_by
    assert result.protocol.labels == "balanced: image i has class i mod 10"
    assert subject.guidance == (
        f"classifier, classifier {sha256(files['classifier'])[:12]}, scale 2, interval 400 to 1000"
    )
    assert (subject.network_evaluations, used.evaluations) == (3, 2)
    assert (used.name, used.model) == ("classifier", "NoisyClassifier")
    assert used.sha256 == sha256(files["classifier"])
    assert used.parameters == sum(p.numel() for p in network.parameters())
    settings = subject.guidance_settings
    assert settings["classifier"]["sha256"] == used.sha256
    assert settings["interval"] == [400, 1000] and settings["interval_in"] == "t"
    assert settings["guidance"]["_target_"].endswith("Unguided")
    json.dumps(settings)
    assert type(result).from_json(result.to_json()) == result

    weak = measured(AutoGuidance(zoo.load(files["model"]), 2.0)).subject
    assert weak.network_evaluations == 6  # the weaker one's are among them
    assert weak.guidance == f"auto-guidance, weak {sha256(files['model'])[:12]}, scale 2"
    live = [measured(AutoGuidance(other, 2.0)).subject for other in (model(), noisier(model()))]
    hashes = [subject.guided_by[0].sha256 for subject in live]
    assert all(text.startswith("of weights in no file: ") for text in hashes)
    assert hashes[0] != hashes[1]

    plain = measured(ClassifierFree(1.0)).subject
    assert (plain.guidance, plain.guided_by) == ("classifier-free, scale 1", [])
    assert plain.guidance_settings["batched"] is True


def test_an_unconditional_model_has_labels_where_a_guidance_reads_them(files, data) -> None:
    module, network = zoo.load(files["model"]), zoo.load(files["classifier"])
    assert conditions_of(module, data, 12).raw is None
    assert conditions_of(module, data, 12, Classifier(network)).raw.tolist()[-3:] == [9, 0, 1]
