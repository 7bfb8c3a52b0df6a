"""What docs/converting.md shows, runs."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.command.sample import sample
from zoo.convert import network
from zoo.convert.convert import convert
from zoo.entry import compose

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers")

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "converting.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_folder_in_three_samplers_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        norm_num_groups=4,
        add_attention=False,
    )
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained("ddpm")
    names: dict[str, Any] = {}
    *shown, openai = blocks("python")
    for block in shown:
        exec(block, names)
    assert names["images"][0].size == (8, 8)
    assert Path("ddpm.safetensors").is_file()

    for line in "".join(blocks("sh")).splitlines():
        program, verb, *overrides = shlex.split(line)
        assert program == "zoo"
        if verb == "convert":
            Path("ddpm.safetensors").unlink()
            convert(compose("convert", overrides))
        else:
            assert sample(compose(verb, [*overrides, "sampler.num_steps=2"])).is_file()
    assert Path("ddpm.safetensors").is_file()

    exec(openai[: openai.index("module =")], names)  # the file itself has 200 MB
    with torch.device("meta"):
        found = network("openai", names["config"])
    assert sum(p.numel() for p in found.parameters()) == 52_546_438
