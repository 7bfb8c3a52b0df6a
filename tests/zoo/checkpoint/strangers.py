"""Makers of strangers' files: an honest one, what is changed in it, and how it is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import zoo
from zoo.checkpoint.file import FORMAT
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.models.ddpm import DDPM
from zoo.part import config_of
from zoo.sampler import DDIM
from zoo.schedule import Linear

SIZES: dict[str, Any] = dict(channels=8, channel_mult=(1, 2), num_res_blocks=1, norm_groups=4)


def honest() -> DDPM:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DDPM(UNet(1, 1, **SIZES), GaussianDiffusion(Linear()), (1, 8, 8), DDIM(3))
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.05)
    return model.eval()


MODEL = honest()
CONFIG: dict[str, Any] = json.loads(json.dumps(config_of(MODEL)))
STATE = {key: value.contiguous() for key, value in MODEL.state_dict().items()}
METADATA = {"format": FORMAT, "version": "1", "config": json.dumps(CONFIG), "provenance": "{}"}


def changed(path: str, value: Any) -> str:
    """The honest config with another value at a dotted path; ``...`` removes it."""
    config = copy.deepcopy(CONFIG)
    *above, last = path.split(".")
    node = config
    for name in above:
        node = node[name]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return json.dumps(config)


def part(target: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": target, **arguments}


def nested(depth: int) -> dict[str, Any]:
    schedule = part("zoo.schedule.linear.Linear")
    for _ in range(depth):
        schedule = part("zoo.schedule.zero_terminal_snr.ZeroTerminalSNR", schedule=schedule)
    return schedule


def write(path: Path, config: str = json.dumps(CONFIG), tensors: Any = None) -> None:
    save_file(STATE if tensors is None else tensors, path, {**METADATA, "config": config})


def refused(path: Path | str, folder: Path) -> str:
    """The one line in which a file is refused, with nothing executed."""
    with pytest.raises(ValueError) as caught:
        zoo.load(path)
    line = str(caught.value)
    assert "\n" not in line and line.isprintable()
    assert len(line) < 1500
    assert not (folder / "LOOT").exists()
    return line
