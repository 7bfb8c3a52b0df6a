"""OpenAI's weights in our networks compute what OpenAI's networks computed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import zoo
from zoo.convert import from_openai, keys, network
from zoo.convert.openai import read as openai
from zoo.convert.openai.classifier import classifier
from zoo.convert.openai.unet import layers
from zoo.diffusion.objective import Hybrid, Simple, Vlb
from zoo.diffusion.parameterization import X0, Epsilon
from zoo.diffusion.variance import FixedVariance
from zoo.layers import AttentionBlock
from zoo.models.noisy_classifier import NoisyClassifier
from zoo.records import Condition
from zoo.sampler import DDIM
from zoo.schedule import Cosine, Linear

ROOT = Path(__file__).parents[4]
sys.path.insert(0, str(ROOT / "benchmarks"))
_spec = importlib.util.spec_from_file_location("_golden", ROOT / "benchmarks" / "_golden.py")
assert _spec is not None and _spec.loader is not None
golden: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golden)
sys.path.remove(str(ROOT / "benchmarks"))

CASES = golden.read("openai")


def output(case: Any, dtype: torch.dtype) -> Tensor:
    """What our network computes with a case's weights and inputs."""
    arguments, given = case.config["arguments"], golden.inputs(case.config, dtype)
    x, t = given["x"], torch.tensor(golden.TIMES, dtype=dtype)
    with torch.no_grad(), golden.default_dtype(dtype):
        if "classifier_width" in arguments:
            out = classifier(case.state(dtype), arguments)(x, t)
        else:
            labels, image = case.config.get("labels"), given.get("low_res")
            condition = Condition(
                vector=None if labels is None else torch.tensor(labels),
                image=None if image is None else F.interpolate(image, (16, 16), mode="bilinear"),
            )
            out = openai.denoiser(case.state(dtype), arguments)(x, t, condition)
    assert out.dtype == dtype
    return golden.kept(out, case.config["stride"])


@pytest.mark.parametrize("name", CASES)
def test_the_same_output_as_the_original(name: str) -> None:
    case = CASES[name]
    double, single = output(case, torch.float64), output(case, torch.float32)
    assert golden.difference(double, case.output) < 1e-10
    assert golden.difference(single, case.output32) < 1e-5


def test_the_rows_of_an_attention_come_in_the_order_that_the_config_says() -> None:
    case = CASES["guided_legacy_order_heads"]
    case = case._replace(
        config={
            **case.config,
            "arguments": {**case.config["arguments"], "use_new_attention_order": True},
        }
    )
    assert golden.difference(output(case, torch.float64), case.output) > 1e-2


def legacy_attention(block: Any, qkv: Tensor, out: Any, heads: int, x: Tensor) -> Tensor:
    """improved-diffusion's AttentionBlock: rows of ``qkv`` are heads first, then q, k and v."""
    size, channels = x.shape[:2]
    tokens = block.norm(x).reshape(size, channels, -1)
    rows = torch.einsum("oc,bct->bot", qkv.weight, tokens) + qkv.bias[:, None]
    q, k, v = rows.reshape(size * heads, 3 * channels // heads, -1).chunk(3, dim=1)
    scale = (channels // heads) ** -0.25
    weight = torch.einsum("bct,bcs->bts", q * scale, k * scale).softmax(dim=-1)
    read = torch.einsum("bts,bcs->bct", weight, v).reshape(size, channels, -1)
    return x + (torch.einsum("oc,bct->bot", out.weight, read) + out.bias[:, None]).view_as(x)


@pytest.mark.parametrize(("heads", "heads_upsample"), [(1, 4), (4, 2), (2, 2), (4, -1)])
def test_other_heads_on_the_way_up(heads: int, heads_upsample: int) -> None:
    arguments = dict(
        image_size=16, in_channels=3, model_channels=32, out_channels=3, num_res_blocks=1,
        attention_resolutions=(1, 2), channel_mult=(1, 2), num_heads=heads,
        num_heads_upsample=heads_upsample,
    )  # fmt: skip
    theirs: Any = network("openai", arguments)  # only its order of rows is theirs
    generator = torch.Generator().manual_seed(0)
    state = {}
    for ours, (name,) in keys.table(theirs, layers(theirs)).items():
        value = theirs.state_dict()[ours]
        state[name] = value + 0.2 * torch.randn(value.shape, generator=generator)
    converted = openai.denoiser(state, arguments)
    keys.load_state(
        theirs, keys.translate(theirs, state, keys.table(theirs, layers(theirs)), ""), ""
    )
    up = heads if heads_upsample == -1 else heads_upsample
    for way, count in (("down", heads), ("mid", heads), ("up", up)):
        for block in getattr(theirs, way).modules():
            if isinstance(block, AttentionBlock):
                inner = block.attention
                block.forward = lambda x, *_, b=block, a=inner, n=count: legacy_attention(  # type: ignore[method-assign,misc]
                    b, a.qkv, a.out, n, x
                )
    x, t = torch.randn(2, 3, 16, 16, generator=generator), torch.tensor([3.0, 700.0])
    with torch.no_grad():
        expected, output = theirs(x, t), converted(x, t)
    assert golden.difference(output, expected) < 1e-5
    assert (converted.num_heads_up is None) == (up == heads)


PUBLISHED = {  # parameters that the papers' configs have
    "improved CIFAR-10": (
        dict(image_size=32, num_channels=128, num_res_blocks=3, learn_sigma=True, dropout=0.3),
        52_546_438,
    ),
    "improved ImageNet-64": (
        dict(image_size=64, num_channels=128, num_res_blocks=3, learn_sigma=True), 121_063_942
    ),
    "improved ImageNet-64 classes": (
        dict(image_size=64, num_channels=192, num_res_blocks=3, learn_sigma=True, class_cond=True),
        273_049_350,
    ),
    "ADM 256": (
        dict(
            image_size=256, num_channels=256, num_res_blocks=2, num_head_channels=64,
            attention_resolutions="32,16,8", class_cond=True, learn_sigma=True,
            resblock_updown=True, use_scale_shift_norm=True, use_fp16=True, noise_schedule="linear",
        ),
        553_838_086,
    ),
    "ADM 512": (
        dict(
            image_size=512, num_channels=256, num_res_blocks=2, num_head_channels=64,
            attention_resolutions="32,16,8", class_cond=True, learn_sigma=True,
            resblock_updown=True,
        ),
        558_997_638,
    ),
    "UNetModel's own arguments": (
        dict(
            image_size=32, in_channels=3, model_channels=128, out_channels=6, num_res_blocks=3,
            attention_resolutions=(2, 4), channel_mult=(1, 2, 2, 2), num_heads=4,
            use_scale_shift_norm=True,
        ),
        52_546_438,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_have_their_published_size(name: str) -> None:
    config, count = PUBLISHED[name]
    with torch.device("meta"):
        net = network("openai", config)
    assert sum(p.numel() for p in net.parameters()) == count


def model(name: str, **changes: Any) -> Any:
    case = CASES[name]
    return from_openai(case.state(torch.float32), {**case.config["arguments"], **changes})


def test_a_learned_sigma_makes_an_improved_ddpm_that_draws() -> None:
    module = model("guided_adm", timestep_respacing="10,5")
    assert isinstance(module, zoo.ImprovedDDPM)
    assert module.conditioner.num_classes == 1000
    assert isinstance(module.diffusion.schedule, Linear)
    assert module.image_shape == [3, 16, 16]
    assert [level.t for level in module.sampler.levels(module.diffusion.schedule)][-3:] == [
        56,
        1,
        0,
    ]
    images = module.generate(2, condition=torch.tensor([1, 2]), sampler=DDIM(2))
    assert images.shape == (2, 3, 16, 16)
    assert images.float().std() > 1


def test_a_fixed_sigma_makes_a_ddpm_that_is_saved_and_loaded(tmp_path: Path) -> None:
    module = model("improved_class_added_embedding")
    assert isinstance(module, zoo.DDPM)
    assert isinstance(module.diffusion.parameterization, X0)
    assert isinstance(module.diffusion.variance, FixedVariance)
    assert module.diffusion.variance.fraction == 1  # beta, unless sigma_small
    assert isinstance(module.diffusion.objective, Simple)
    again = zoo.load(module.save(tmp_path / "model.safetensors"))
    labels = torch.tensor([3])
    drawn = [m.generate(1, condition=labels, sampler=DDIM(2)) for m in (module, again)]
    assert torch.equal(*drawn)


def test_time_is_rescaled_where_the_reference_does() -> None:
    module = model("improved_learned_sigma_4_heads")  # improved-diffusion's default: yes
    assert isinstance(module.diffusion.schedule, Cosine)
    assert isinstance(module.diffusion.parameterization, Epsilon)
    assert module.clock(module.diffusion.schedule(4000)) == 3999 / 4
    assert isinstance(module.diffusion.objective, Hybrid)
    assert module.diffusion.objective.vlb_weight == 0.001
    assert module.sampler.num_steps == 4000
    plain = dict(rescale_timesteps=False, rescale_learned_sigmas=False)
    module = model("improved_learned_sigma_4_heads", **plain)
    assert module.clock(module.diffusion.schedule(4000)) == 3999
    assert module.diffusion.objective.vlb_weight == 1 / 4000
    module = model("guided_adm", diffusion_steps=4000)  # guided-diffusion's default: no
    assert module.clock(module.diffusion.schedule(4000)) == 3999
    assert isinstance(model("guided_adm", use_kl=True).diffusion.objective, Vlb)


def test_respacing_is_the_references() -> None:
    module = model("guided_adm", timestep_respacing="ddim25")
    times = [level.t for level in module.sampler.levels(module.diffusion.schedule)]
    assert times[:2] == [961, 921]
    assert len(times) == 26


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("guided_adm", dict(chanel_mult="1,2"), "takes no 'chanel_mult'"),
        ("guided_adm", dict(num_res_blocks=2), "missing 'input_blocks"),
        ("guided_adm", dict(learn_sigma=False), "'out.2.weight' is (6, 32, 3, 3), not (3, 32"),
        ("guided_adm", dict(noise_schedule="sigmoid"), "possible are linear, cosine"),
        ("guided_adm", dict(channel_mult=""), "no widths for image_size=16"),
        ("guided_adm", dict(class_cond=False), "surplus 'label_emb.weight'"),
        (
            "guided_legacy_order_heads",
            dict(num_heads_upsample=3),
            "3 attention heads do not divide",
        ),
    ],
)
def test_what_does_not_go_is_said_in_one_line(name: str, changes: dict, words: str) -> None:
    with pytest.raises(ValueError) as raised:
        model(name, **changes)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_upsampler_enlarges(tmp_path: Path) -> None:
    module = model("improved_upsampler", diffusion_steps=100)
    assert module.image_shape == [3, 64, 64]
    small, labels = golden.values("small", 2, 3, 16, 16).float(), torch.tensor([3, 998])
    condition = module.conditioner.of(small, labels)
    again = zoo.load(module.save(tmp_path / "model.safetensors"))
    drawn = [m.generate(2, condition=condition, sampler=DDIM(2)) for m in (module, again)]
    assert drawn[0].shape == (2, 3, 64, 64)
    assert torch.equal(*drawn)
    other = module.conditioner.of(-small, labels)
    assert not torch.equal(module.generate(2, condition=other, sampler=DDIM(2)), drawn[0])
    for mistake, words in (
        (lambda: module.generate(2, sampler=DDIM(2)), "needs smaller images"),
        (lambda: module.conditioner.of(small), "knows 1000 classes"),
        (lambda: module.conditioner.of(small[:, :1], labels), "floats (B, 3, h, w)"),
    ):
        with pytest.raises(ValueError) as raised:
            mistake()
        assert words in str(raised.value)


def test_a_classifier_is_told_by_its_weights() -> None:
    module = model("guided_classifier")
    assert isinstance(module, NoisyClassifier)
    assert module.image_shape == [3, 64, 64]
    x, t = golden.values("x", 2, 3, 64, 64).float(), torch.tensor(golden.TIMES)
    with torch.no_grad():
        logits = module.network(x, t)
    case = CASES["guided_classifier"]
    assert golden.difference(golden.kept(logits, case.config["stride"]), case.output32) < 1e-5
