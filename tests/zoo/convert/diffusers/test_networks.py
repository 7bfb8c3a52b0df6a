"""With diffusers' weights, all drawn at random, our networks compute what diffusers' do."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.convert import network
from zoo.convert.diffusers.keys import our_weights, their_weights
from zoo.convert.diffusers.unet_config import unet_config
from zoo.denoiser import UNet
from zoo.part import config_of
from zoo.records import Condition

_spec = importlib.util.spec_from_file_location("pairs", Path(__file__).with_name("pairs.py"))
assert _spec is not None and _spec.loader is not None
pairs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pairs)
KL, PIXEL, TEXT, VQ = pairs.KL, pairs.PIXEL, pairs.TEXT, pairs.VQ
diffusers, difference, draw_weights = pairs.diffusers, pairs.difference, pairs.draw_weights
in_float64, noise, ours_of = pairs.in_float64, pairs.noise, pairs.ours_of

PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-10)]
SIZES = {  # published configs, as diffusers writes them
    "google/ddpm-cifar10-32": (
        35_746_307,
        dict(
            _class_name="UNet2DModel",
            act_fn="silu",
            attention_head_dim=None,
            block_out_channels=[128, 256, 256, 256],
            center_input_sample=False,
            down_block_types=["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
            downsample_padding=0,
            flip_sin_to_cos=False,
            freq_shift=1,
            in_channels=3,
            layers_per_block=2,
            mid_block_scale_factor=1,
            norm_eps=1e-6,
            norm_num_groups=32,
            out_channels=3,
            sample_size=32,
            time_embedding_type="positional",
            up_block_types=["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        ),
    ),
    "Stable Diffusion 1's U-Net": (
        859_520_964,
        dict(
            _class_name="UNet2DConditionModel",
            _diffusers_version="0.6.0",
            act_fn="silu",
            attention_head_dim=8,
            block_out_channels=[320, 640, 1280, 1280],
            center_input_sample=False,
            cross_attention_dim=768,
            down_block_types=[*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
            downsample_padding=1,
            flip_sin_to_cos=True,
            freq_shift=0,
            in_channels=4,
            layers_per_block=2,
            mid_block_scale_factor=1,
            norm_eps=1e-5,
            norm_num_groups=32,
            out_channels=4,
            sample_size=64,
            up_block_types=["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
        ),
    ),
    "KL-f8": (
        83_653_863,
        dict(
            _class_name="AutoencoderKL",
            act_fn="silu",
            block_out_channels=[128, 256, 512, 512],
            down_block_types=["DownEncoderBlock2D"] * 4,
            in_channels=3,
            latent_channels=4,
            layers_per_block=2,
            norm_num_groups=32,
            out_channels=3,
            sample_size=512,
            up_block_types=["UpDecoderBlock2D"] * 4,
        ),
    ),
    "VQ-f4": (
        55_322_782,
        dict(
            _class_name="VQModel",
            act_fn="silu",
            block_out_channels=[128, 256, 512],
            down_block_types=["DownEncoderBlock2D"] * 3,
            in_channels=3,
            latent_channels=3,
            layers_per_block=2,
            num_vq_embeddings=8192,
            out_channels=3,
            sample_size=256,
            up_block_types=["UpDecoderBlock2D"] * 3,
            vq_embed_dim=3,
        ),
    ),
}


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=str)
@pytest.mark.parametrize("name", PIXEL)
def test_pixel_unet(name: str, dtype: torch.dtype, tolerance: float) -> None:
    theirs: Any = draw_weights(diffusers.UNet2DModel(**PIXEL[name]))
    if dtype == torch.float64:
        in_float64(theirs)
    ours = ours_of(theirs)
    x, t = noise(2, 3, 16, 8, dtype=dtype), torch.tensor([3.0, 977.25])
    labels = torch.tensor([6, 0]) if ours.num_classes else None
    with torch.no_grad():
        expected = theirs(x, t, class_labels=labels).sample
        output = ours(x, t.to(dtype), Condition(vector=labels))
    assert difference(output, expected) <= tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=str)
@pytest.mark.parametrize("name", TEXT)
def test_text_unet(name: str, dtype: torch.dtype, tolerance: float) -> None:
    theirs: Any = draw_weights(diffusers.UNet2DConditionModel(**TEXT[name]))
    if dtype == torch.float64:
        in_float64(theirs)
    ours = ours_of(theirs)
    x, t, tokens = noise(2, 4, 8, 8, dtype=dtype), torch.tensor([1.0, 500.5]), noise(2, 5, 24)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]).bool()
    labels = torch.tensor([3, 0]) if ours.num_classes else None
    tokens, t = tokens.to(dtype), t.to(dtype)
    with torch.no_grad():
        expected = theirs(x, t, tokens, labels, encoder_attention_mask=mask).sample
        output = ours(x, t, Condition(vector=labels, tokens=tokens, mask=mask))
        unmasked = ours(x, t, Condition(vector=labels, tokens=tokens))
    assert difference(output, expected) <= tolerance
    assert (unmasked - output)[1].abs().max() > 1e-3  # so the mask was seen


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=str)
@pytest.mark.parametrize("name", KL)
def test_kl_autoencoder(name: str, dtype: torch.dtype, tolerance: float) -> None:
    theirs: Any = draw_weights(diffusers.AutoencoderKL(**KL[name])).to(dtype)
    if name == "kl_bare":
        from zoo.convert.diffusers.autoencoder import with_quant_convs

        full = with_quant_convs(theirs.state_dict(), theirs.config, 3)
        assert {"quant_conv.weight", "post_quant_conv.bias"} <= full.keys()
        theirs.state_dict = lambda: full
    ours = ours_of(theirs)
    images = noise(2, 3, 8, 12, dtype=dtype).clamp(-1, 1)
    with torch.no_grad():
        moments = theirs.encode(images).latent_dist
        assert difference(ours.moments(images), moments.parameters) <= tolerance
        expected = theirs.decode(moments.mean).sample
        assert difference(ours.decode(moments.mean), expected) <= tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=str)
@pytest.mark.parametrize("name", VQ)
def test_vq_autoencoder(name: str, dtype: torch.dtype, tolerance: float) -> None:
    theirs: Any = draw_weights(diffusers.VQModel(**VQ[name])).to(dtype)
    ours = ours_of(theirs)
    images = noise(2, 3, 8, 12, dtype=dtype).clamp(-1, 1)
    with torch.no_grad():
        latents = theirs.encode(images).latents
        assert difference(ours.moments(images), latents) <= tolerance
        assert difference(ours.decode(latents), theirs.decode(latents).sample) <= tolerance


@pytest.mark.parametrize("name", PIXEL)
def test_weights_go_back_bit_for_bit(name: str) -> None:
    theirs = draw_weights(diffusers.UNet2DModel(**PIXEL[name]))
    back = their_weights(ours_of(theirs))
    assert back.keys() == theirs.state_dict().keys()
    for key, value in theirs.state_dict().items():
        assert torch.equal(back[key], value), key


@pytest.mark.parametrize("name", ["stable_diffusion", "linear_projection"])
def test_projections_are_convolutions_or_linear(name: str) -> None:
    theirs: Any = draw_weights(diffusers.UNet2DConditionModel(**TEXT[name]))
    back = their_weights(ours_of(theirs), linear_projection=theirs.config.use_linear_projection)
    for key, value in theirs.state_dict().items():
        assert torch.equal(back[key], value), key


def test_old_names_of_attention() -> None:
    theirs = draw_weights(diffusers.UNet2DModel(**PIXEL["ddpm"]))
    old = {}
    for key, value in theirs.state_dict().items():
        for new, name in (("to_q", "query"), ("to_k", "key"), ("to_v", "value")):
            key = key.replace(f".{new}.", f".{name}.")
        old[key.replace(".to_out.0.", ".proj_attn.")] = value
    assert old.keys() != theirs.state_dict().keys()
    ours = ours_of(theirs)
    for key, value in our_weights(ours, old, "old").items():
        assert torch.equal(value, ours.state_dict()[key])


def test_what_does_not_fit_is_named_as_diffusers_names_it() -> None:
    theirs = draw_weights(diffusers.UNet2DModel(**PIXEL["ddpm"]))
    ours, weights = ours_of(theirs), dict(theirs.state_dict())
    weights["surplus.weight"] = weights.pop("mid_block.attentions.0.to_k.bias")
    with pytest.raises(ValueError, match="missing 'mid_block.attentions.0.to_k.bias'"):
        our_weights(ours, weights, "folder")
    with pytest.raises(ValueError, match="surplus 'surplus.weight'"):
        our_weights(ours, weights, "folder")
    weights = dict(theirs.state_dict()) | {"conv_in.weight": torch.zeros(32, 4, 3, 3)}
    with pytest.raises(
        ValueError, match=r"'conv_in.weight' is \(32, 4, 3, 3\), not \(32, 3, 3, 3\)"
    ):
        our_weights(ours, weights, "folder")


@pytest.mark.parametrize("name", SIZES)
def test_parameter_counts_of_published_configs(name: str) -> None:
    count, config = SIZES[name]
    with torch.device("meta"):
        found = network("diffusers", config)
    assert sum(p.numel() for p in found.parameters()) == count


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("UNet2DModel", "center_input_sample", True),
        ("UNet2DModel", "class_embed_type", "timestep"),
        ("UNet2DModel", "mid_block_type", None),
        ("UNet2DModel", "time_embedding_type", "fourier"),
        ("UNet2DModel", "mid_block_scale_factor", 2),
        ("UNet2DModel", "act_fn", "gelu"),
        ("UNet2DModel", "down_block_types", ["SkipDownBlock2D"] * 4),
        ("UNet2DModel", "attn_norm_num_groups", 0),
        ("UNet2DModel", "resnet_time_scale_shift", "spatial"),
        ("UNet2DModel", "upsample_type", "resnet"),
        ("UNet2DConditionModel", "only_cross_attention", True),
        ("UNet2DConditionModel", "encoder_hid_dim", 5),
        ("UNet2DConditionModel", "attention_head_dim", [5, 8, 20, 20]),
        ("UNet2DConditionModel", "cross_attention_dim", [4, 4, 8, 8]),
        ("AutoencoderKL", "latents_mean", [0.0] * 4),
        ("AutoencoderKL", "act_fn", "gelu"),
        ("VQModel", "norm_type", "spatial"),
        ("VQModel", "lookup_from_codebook", True),
    ],
)
def test_what_cannot_be_reproduced_is_refused(kind: str, option: str, value: Any) -> None:
    with torch.device("meta"), pytest.raises(ValueError) as caught:
        network("diffusers", {"_class_name": kind, option: value})
    assert kind in str(caught.value) and f"{option}=" in str(caught.value)


@pytest.mark.parametrize("name", PIXEL)
def test_a_config_there_and_back_is_the_same_network(name: str) -> None:
    theirs: Any = diffusers.UNet2DModel(**PIXEL[name])
    ours = network("diffusers", {**theirs.config, "_class_name": "UNet2DModel"})
    again = network("diffusers", unet_config(ours, [16, 16]))
    for key in ("attention_at", "channel_mult"):
        assert list(config_of(ours)[key]) == list(config_of(again)[key])
    shapes = [{k: v.shape for k, v in net.state_dict().items()} for net in (ours, again)]
    assert shapes[0] == shapes[1]
    assert ours.scale_shift_norm == again.scale_shift_norm


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mid_norm_groups": 0}, "only beside scale_shift_norm=True"),
        ({"num_heads_up": 2}, "num_heads_up=2"),
        ({"context_dim": 8, "mid_norm_groups": 4}, "no mid_norm_groups"),
    ],
)
def test_what_diffusers_does_not_have_is_not_written(options: dict[str, Any], words: str) -> None:
    sizes: dict[str, Any] = dict(channels=32, channel_mult=(1, 2), norm_groups=8)
    with torch.device("meta"):
        ours = UNet(3, 3, **sizes, **options)
    with pytest.raises(ValueError, match=words):
        unet_config(ours, [16, 16])


def test_unknown_options_and_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="UNet2DModel: unknown options .* rotary=True"):
        network("diffusers", {"_class_name": "UNet2DModel", "rotary": True})
    with pytest.raises(ValueError, match="possible are UNet2DModel"):
        network("diffusers", {"_class_name": "DiTTransformer2DModel"})


@pytest.mark.parametrize(
    "kind", ["UNet2DModel", "UNet2DConditionModel", "AutoencoderKL", "VQModel"]
)
def test_every_option_of_diffusers_is_known_with_its_default(kind: str) -> None:
    signature = inspect.signature(getattr(diffusers, kind).__init__).parameters
    defaults = {k: p.default for k, p in signature.items() if k != "self"}
    with torch.device("meta"):
        ours = network("diffusers", {"_class_name": kind, **defaults})
        implied = network("diffusers", {"_class_name": kind})
    assert config_of(ours) == config_of(implied)
