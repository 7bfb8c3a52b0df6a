"""Unknown layouts say what they resemble and which keys decided."""

from __future__ import annotations

import pytest
import torch

from zoo.convert import family_of, from_compvis, from_openai
from zoo.denoiser import UNet
from zoo.first_stage import KLAutoencoder

KEYS = {
    "openai": ["time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.0.bias"],
    "compvis": ["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.q.bias"],
    "compvis autoencoder": ["encoder.down.0.block.0.norm1.weight", "decoder.conv_in.weight"],
    "compvis ddpm": ["temb.dense.0.weight", "down.0.block.0.conv1.weight", "conv_in.weight"],
    "diffusers": ["down_blocks.0.resnets.0.norm1.weight", "time_embedding.linear_1.weight"],
    "edm": ["model.enc.32x32_conv.weight", "model.dec.8x8_in0.norm0.weight"],
    "score_sde": ["module.all_modules.0.weight", "module.all_modules.1.weight"],
    "lucidrains": ["model.downs.0.0.block1.proj.weight", "ups.1.0.block1.proj.weight"],
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_a_family_is_told_by_its_names(name: str) -> None:
    assert family_of(KEYS[name]) == name.split(" ", maxsplit=1)[0]


def test_our_own_names_are_known_too() -> None:
    sizes = dict(channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_at=(2,))
    with torch.device("meta"):
        assert family_of(UNet(3, 3, **sizes).state_dict()) == "zoo"
        assert family_of(KLAutoencoder(3, 4, 32, (1, 2)).state_dict()) == "zoo"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("diffusers", ["family diffusers", "'down_blocks.0.resnets.0.norm1.weight'"]),
        ("compvis", ["family compvis", "'first_stage_model.q.bias'", "from_compvis"]),
        ("edm", ["family edm", "'model.dec.8x8_in0.norm0.weight'", "possible are openai"]),
    ],
)
def test_another_familys_weights_are_refused_by_name(name: str, words: list[str]) -> None:
    state = {key: torch.ones(1) for key in KEYS[name]}
    with pytest.raises(ValueError) as raised:
        from_openai(state, {"image_size": 32})
    assert all(word in str(raised.value) for word in words), str(raised.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["embed.weight", "head.bias"], "no known layout (openai, compvis, diffusers): 'embed.w"),
        ([], "no keys at all"),
        (["module.input_blocks.0.0.weight"], "decided by 'input_blocks.0.0.weight'"),
    ],
)
def test_names_of_no_layout_are_shown(keys: list[str], words: str) -> None:
    with pytest.raises(ValueError) as raised:
        from_compvis({key: torch.ones(1) for key in keys}, {})
    assert words in str(raised.value)
