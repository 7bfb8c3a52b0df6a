"""With diffusers' weights, all drawn at random, our networks compute what diffusers' do."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from torch import nn

from zoo.attention import AttentionBlock
from zoo.denoiser import UNet
from zoo.first_stage import KLAutoencoder, VQAutoencoder
from zoo.records import Condition

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers")
    from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel, VQModel

RENAMED = [
    (r"^time_embedding\.0", "time_embedding.linear_1"),
    (r"^time_embedding\.2", "time_embedding.linear_2"),
    (r"^label_embedding", "class_embedding"),
    (r"\bnorm_out", "conv_norm_out"),
    (r"\bdown\.(\d+)\.resample", r"down_blocks.\1.downsamplers.0"),
    (r"\bup\.(\d+)\.resample", r"up_blocks.\1.upsamplers.0"),
    (r"\b(down|up)\.", r"\1_blocks."),
    (r"\bmid\.", "mid_block."),
    (r"(attentions\.\d+)\.blocks\.", r"\1.transformer_blocks."),
    (r"\.blocks\.", ".resnets."),
    (r"\.embedding\.", ".time_emb_proj."),
    (r"\.shortcut\.", ".conv_shortcut."),
    (r"\.attention\.", "."),
    (r"\.attention([12])\.", r".attn\1."),
    (r"\.out\.", ".to_out.0."),
    (r"feed_forward_in", "ff.net.0.proj"),
    (r"feed_forward_out", "ff.net.2"),
    (r"^codebook", "quantize.embedding"),
]


def their_names(network: nn.Module, name: str) -> list[str]:
    """Diffusers' names of one of our weights; where they are several, ours joins them by rows."""
    owner = name.rsplit(".", 2)[0]
    if name.startswith(f"{owner}.norm.") and isinstance(
        network.get_submodule(owner), AttentionBlock
    ):
        name = name.replace(".norm.", ".group_norm.")
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    layer = name.split(".")[-2]
    if layer not in ("q", "kv", "qkv"):
        return [name]
    return [name.replace(f".{layer}.", f".to_{letter}.") for letter in layer]


def copy_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Every weight is drawn anew in theirs, and every one is used once in ours."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.2
            base = 1.0 if parameter.ndim == 1 and bool((parameter == 1).all()) else 0.0
            parameter.copy_(base + scale * torch.randn(parameter.shape, generator=generator))
    left = dict(theirs.state_dict())
    state = ours.state_dict()
    for name, parameter in ours.named_parameters():
        joined = torch.cat([left.pop(their) for their in their_names(ours, name)])
        state[name] = joined.reshape(parameter.shape)
    assert not left, f"diffusers' weights that we have no place for: {sorted(left)[:4]}"
    ours.load_state_dict(state)


def pixel_pair(**changes) -> tuple[UNet, nn.Module]:
    ours = dict(
        channels=32, channel_mult=(1, 2, 3), num_res_blocks=2, attention_at=(2,), norm_groups=8
    )
    theirs = dict(
        block_out_channels=(32, 64, 96),
        layers_per_block=2,
        norm_num_groups=8,
        attn_norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )
    facts = {
        "ddpm": (
            dict(norm_eps=1e-6, asymmetric_padding=True, sine_first=True, frequency_shift=1),
            dict(
                norm_eps=1e-6,
                downsample_padding=0,
                flip_sin_to_cos=False,
                freq_shift=1,
                attention_head_dim=None,
            ),
        ),
        "openai": (
            dict(head_channels=16, scale_shift_norm=True, num_classes=7),
            dict(attention_head_dim=16, resnet_time_scale_shift="scale_shift", num_class_embeds=7),
        ),
        "adm": (
            dict(head_channels=32, scale_shift_norm=True, resblock_updown=True),
            dict(
                attention_head_dim=32,
                resnet_time_scale_shift="scale_shift",
                down_block_types=(
                    "ResnetDownsampleBlock2D",
                    "AttnDownBlock2D",
                    "ResnetDownsampleBlock2D",
                ),
                up_block_types=("ResnetUpsampleBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
                downsample_type="resnet",
                upsample_type="resnet",
            ),
        ),
    }
    our_facts, their_facts = facts[changes["family"]]
    return UNet(3, 6, **ours | our_facts), UNet2DModel(
        in_channels=3, out_channels=6, **theirs | their_facts
    )


@pytest.mark.parametrize("family", ["ddpm", "openai", "adm"])
def test_pixel_unet(family: str) -> None:
    ours, theirs = (network.double().eval() for network in pixel_pair(family=family))
    copy_weights(ours, theirs)
    x = torch.randn(2, 3, 16, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    t = torch.tensor([3.0, 977.25])
    labels = torch.tensor([6, 0]) if ours.num_classes else None
    with torch.no_grad():
        expected = theirs(x, t, class_labels=labels).sample
        output = ours(x, t, Condition(vector=labels))
    assert expected.std() > 0.1
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 2])
def test_text_unet(depth: int) -> None:
    ours = UNet(
        4,
        4,
        channels=32,
        channel_mult=(1, 2),
        num_res_blocks=1,
        attention_at=(1,),
        num_heads=4,
        context_dim=24,
        transformer_depth=depth,
        norm_groups=8,
    )
    theirs = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4,
        cross_attention_dim=24,
        transformer_layers_per_block=depth,
        norm_num_groups=8,
    )
    ours, theirs = ours.double().eval(), theirs.double().eval()
    copy_weights(ours, theirs)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, 8, 8, generator=generator, dtype=torch.float64)
    tokens = torch.randn(2, 5, 24, generator=generator, dtype=torch.float64)
    t, mask = torch.tensor([1.0, 500.5]), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]).bool()
    with torch.no_grad():
        expected = theirs(x, t, tokens, encoder_attention_mask=mask).sample
        output = ours(x, t, Condition(tokens=tokens, mask=mask))
        unmasked = ours(x, t, Condition(tokens=tokens))
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    assert (unmasked - output)[1].abs().max() > 1e-3  # so the mask was seen
    torch.testing.assert_close(unmasked[0], output[0])


@pytest.mark.parametrize("attention", [False, True])
def test_autoencoder(attention: bool) -> None:
    ours = KLAutoencoder(3, 4, 32, (1, 2), 2, attention_at=(2,) if attention else (), norm_groups=8)
    kind = "Attn" if attention else ""
    theirs = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D", f"{kind}DownEncoderBlock2D"),
        up_block_types=(f"{kind}UpDecoderBlock2D", "UpDecoderBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=2,
        norm_num_groups=8,
    )
    ours, theirs = ours.double().eval(), theirs.double().eval()
    copy_weights(ours, theirs)
    ours.set_scale(0.0, 0.18215)
    images = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(1)).double() * 2 - 1
    with torch.no_grad():
        moments = theirs.encode(images).latent_dist
        torch.testing.assert_close(ours.moments(images), moments.parameters, rtol=1e-5, atol=1e-5)
        latents = ours.draw(ours.moments(images))
        torch.testing.assert_close(latents, moments.mean * 0.18215, rtol=1e-5, atol=1e-5)
        expected = theirs.decode(moments.mean).sample
        torch.testing.assert_close(ours.decode(latents), expected, rtol=1e-5, atol=1e-5)


def test_vq_autoencoder() -> None:
    ours = VQAutoencoder(3, 4, 32, (1, 2), 2, norm_groups=8, num_codes=24)
    theirs = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 64),
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=8,
        num_vq_embeddings=24,
    )
    ours, theirs = ours.double().eval(), theirs.double().eval()
    copy_weights(ours, theirs)
    images = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(1)).double() * 2 - 1
    with torch.no_grad():
        moments = theirs.encode(images).latents
        torch.testing.assert_close(ours.moments(images), moments, rtol=1e-5, atol=1e-5)
        assert len(ours.quantize(images).indices.unique()) > 3
        expected = theirs.decode(moments).sample
        latents = ours.draw(ours.moments(images))
        torch.testing.assert_close(ours.decode(latents), expected, rtol=1e-5, atol=1e-5)
