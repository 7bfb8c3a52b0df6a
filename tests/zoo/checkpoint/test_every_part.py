"""Whatever part the configs offer: a model that has it is saved, and loads as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

import zoo
from zoo import paths
from zoo.conditioner import ClassLabel
from zoo.entry import compose
from zoo.part import config_of

SMALL = [
    "model.denoiser.channels=32",
    "model.denoiser.channel_mult=[1]",
    "model.denoiser.attention_at=[]",
    "model.denoiser.num_res_blocks=1",
]
NEEDS_MORE = {
    ("schedule", "zero_terminal_snr"): ["parameterization=velocity", "sampler=ddim"],
    ("objective", "vlb"): ["model=improved_ddpm", "variance=learned"],
    ("objective", "hybrid"): ["model=improved_ddpm", "variance=learned"],
    ("variance", "learned"): ["model=improved_ddpm"],
    ("guidance", "classifier_free"): ["conditioner=class_label", "conditioner.dropout=0.1"],
}
OF_OTHER_MODELS = {  # a network of its own beside it, or tokens, which a DDPM's U-Net does not take
    ("guidance", "autoguidance"), ("guidance", "classifier"), ("conditioner", "bert_text"),
    ("conditioner", "clip_text"), ("conditioner", "class_token"),
}  # fmt: skip
PARTS = [
    (group, file.stem)
    for group in (
        *("schedule", "parameterization", "objective", "variance"),
        *("sampler", "guidance", "conditioner"),
    )
    for file in sorted((paths.configs() / group).glob("[!_]*.yaml"))
    if (group, file.stem) not in OF_OTHER_MODELS
]


@pytest.mark.parametrize(("group", "name"), PARTS)
def test_a_model_with_the_part_loads_as_it_was_saved(group: str, name: str, tmp_path: Path) -> None:
    overrides = [f"{group}={name}", *SMALL, *NEEDS_MORE.get((group, name), [])]
    model = instantiate(compose("train", overrides).model, _convert_="all")
    model.save(tmp_path / "model.safetensors")
    loaded = zoo.load(tmp_path / "model.safetensors")
    assert config_of(loaded) == config_of(model)
    x, t = torch.randn(2, 1, 16, 16), torch.tensor([3, 700])
    reads_labels = isinstance(model.conditioner, ClassLabel)
    condition = model.conditioner(torch.tensor([1, 2])) if reads_labels else None
    model.eval()
    assert torch.equal(loaded.predict(x, t, condition).x0, model.predict(x, t, condition).x0)
