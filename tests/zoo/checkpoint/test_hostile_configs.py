"""Strangers' configs and weights: each is refused in one line, nothing is executed."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from strangers import CONFIG, STATE, changed, nested, part, refused, write

FIRST = "denoiser.conv_in.weight"
SYSTEM = part("os.system", command="touch LOOT")
IDENTITY, CLOCK = part("zoo.first_stage.identity.Identity"), "zoo.diffusion.clock.DiscreteClock"
LINEAR, UNGUIDED = part("zoo.schedule.linear.Linear"), part("zoo.guidance.unguided.Unguided")
LAYER = part("torch.nn.modules.linear.Linear", in_features=1, out_features=1)
GELU = part("torch.nn.modules.activation.GELU", _partial_=True)

TARGETS = (
    "os.system", "builtins.eval", "builtins.exec", "builtins.getattr", "subprocess.Popen",
    "pickle.loads", "torch.load", "torch.hub.load", "functools.partial", "importlib.import_module",
    "zoo.system.files.replacing", "zoo.checkpoint.file.load", "zoo.checkpoint.file.save",
    "zoo.sampler.unipc._Weights", "zoo.sampler.grid.leading", "zoo.command.run.run",
    "zoo.sampler.ddim.DDIM.steps", "torch.nn.functional.relu", "torch.nn.modules.module.torch.load",
    "zoo.models.ddpm.ImprovedDDPM", "zoo.records.Condition", "zoo.data.source.folder.Folder",
)  # fmt: skip

CONFIGS: dict[str, str] = {
    **{f"sampler is {target}": changed("sampler", part(target)) for target in TARGETS},
    "a call in a list": changed("denoiser.channel_mult", [1, SYSTEM]),
    "a call for a call": changed("sampler._target_", SYSTEM),
    "a call at the top": json.dumps(SYSTEM),
    "positional arguments": changed("sampler._args_", [1]),
    "an attribute": changed("sampler.__class__", "x"),
    "an interpolation": changed("denoiser.channels", "${oc.env:HOME}"),
    "a list as sampler": changed("sampler", []),
    "a text as sampler": changed("sampler", "ddim"),
    "a number as sampler": changed("sampler", 3),
    "nothing as sampler": changed("sampler", None),
    "a schedule as sampler": changed("sampler", LINEAR),
    "a class as sampler": changed("sampler", part("zoo.sampler.ddim.DDIM", _partial_=True)),
    "an abstract sampler": changed("sampler", part("zoo.sampler.sampler.Sampler")),
    "a first stage as clock": changed("clock", IDENTITY),
    "a layer as clock": changed("clock", part("torch.nn.modules.linear.Identity")),
    "a schedule as clock": changed("clock", LINEAR),
    "a guidance as clock": changed("clock", UNGUIDED),
    "a number as clock": changed("clock", 1.0),
    "a clock as schedule": changed("diffusion.schedule", part(CLOCK)),
    "a list as schedule": changed("diffusion.schedule", [0.1, 0.2]),
    "a schedule as diffusion": changed("diffusion", LINEAR),
    "a guidance as conditioner": changed("conditioner", UNGUIDED),
    "a layer as conditioner": changed("conditioner", LAYER),
    "a conditioner as guidance": changed("guidance", CONFIG["conditioner"]),
    "a list as guidance": changed("guidance", [1, 2]),
    "a clock as guidance": changed("guidance", part(CLOCK)),
    "a layer as denoiser": changed("denoiser", LAYER),
    "a schedule as denoiser": changed("denoiser", LINEAR),
    "a whole model as denoiser": changed("denoiser", CONFIG),
    "a variance as parameterization": changed(
        "diffusion.parameterization", CONFIG["diffusion"]["variance"]
    ),
    "an objective as variance": changed("diffusion.variance", CONFIG["diffusion"]["objective"]),
    "a list as objective": changed("diffusion.objective", []),
    "a layer as grid": changed("sampler.grid", GELU),
    "a number as grid": changed("sampler.grid", 3),
    "a grid with a stray argument": changed(
        "sampler.grid", part("zoo.sampler.grid.leading", _partial_=True, nonsense=1)
    ),
    "a grid with a list for a number": changed(
        "sampler.grid", part("zoo.sampler.grid.leading", _partial_=True, first=[2])
    ),
    "a sampler at the top": json.dumps(CONFIG["sampler"]),
    "a partial at the top": json.dumps({**CONFIG, "_partial_": True}),
    "a list at the top": json.dumps([CONFIG]),
    "a model in itself, often": json.dumps(part("zoo.models.ddpm.DDPM", denoiser=nested(200))),
    "parts 5,000 deep": json.dumps("HERE").replace('"HERE"', '{"a":' * 5000 + "1" + "}" * 5000),
    "lists 100,000 deep": "[" * 100_000,
    "no denoiser": changed("denoiser", ...),
    "no image_shape": changed("image_shape", ...),
    "no target": changed("_target_", ...),
    "a stray argument": changed("nonsense", 1),
    "a stray argument below": changed("denoiser.nonsense", 1),
    "not JSON": "{",
    "nothing": "",
    "null": "null",
    **{
        f"denoiser.{name}={value!r:.30}": changed(f"denoiser.{name}", value)
        for name, values in {
            "channels": (10**5, 10**12, 10**30, -8, 0, 7, "8", None, 8.5, math.inf, True, []),
            "channel_mult": ([1] * 40, [], [10**9, 1], [-1, 2], "12", [1, "2"], [1, math.nan], 3),
            "num_res_blocks": (10**9, -1, 0, 2, "1", 1.5),
            "num_classes": (10**9, -1, "x"),
            "attention_at": ([3], [1, 2], ["2"], 2),
            "num_heads": (0, -1, 3, 10**9, None),
            "norm_groups": (0, -4, 3, 10**9),
            "norm_eps": ("x", math.nan),
            "dropout": (-1, 2, math.nan, "x"),
            "context_dim": (16, 10**12, -1),
            "transformer_depth": ("x", 1.5),
            "in_channels": (3, 10**9, "1"),
        }.items()
        for value in values
    },
    "depth of a transformer": json.dumps(
        {**CONFIG, "denoiser": {**CONFIG["denoiser"], "context_dim": 8, "transformer_depth": 10**9}}
    ),
    **{
        f"image_shape={value!r}": changed("image_shape", value)
        for value in (
            [1, 10**9, 10**9], "abc", [1, 8], [1, 8, 8, 8], [0, 8, 8], [-1, 8, 8], [1.5, 8, 8],
            [1, 7, 7], None, 8, [[1], [8], [8]], [1, math.inf, 8],
        )
    },
    **{
        f"num_timesteps={value!r}": changed("diffusion.schedule.num_timesteps", value)
        for value in (10**12, 10**9, 0, -1, "x", None, 1.5, math.inf)
    },
    **{
        f"betas={betas}": changed(
            "diffusion.schedule", part("zoo.schedule.noise_schedule.FromBetas", betas=betas)
        )
        for betas in ([], ["x"], [2.0], [[0.1]], 3)
    },
    **{
        f"num_steps={value!r}": changed("sampler.num_steps", value)
        for value in (0, -5, 10**12, "3", None, 2.5)
    },
    **{f"eta={value!r}": changed("sampler.eta", value) for value in (-1, "x", None, math.nan)},
    "schedules 300 deep": changed("diffusion.schedule", nested(300)),
}  # fmt: skip

TENSORS: dict[str, dict[str, torch.Tensor]] = {
    "missing": {key: value for key, value in STATE.items() if key != FIRST},
    "none": {"nothing": torch.zeros(0)},
    "surplus": STATE | {"extra": torch.zeros(1)},
    "many surplus": STATE | {f"extra.{index}": torch.zeros(1) for index in range(5000)},
    "transposed": STATE | {FIRST: STATE[FIRST].transpose(0, 1).contiguous()},
    "flat": STATE | {FIRST: STATE[FIRST].flatten()},
    "empty": STATE | {FIRST: torch.zeros(0)},
    "huge": STATE | {FIRST: torch.zeros(0, 10**9)},
    "fp8": STATE | {FIRST: STATE[FIRST].to(torch.float8_e4m3fn)},
    "other fp8": {key: value.to(torch.float8_e5m2) for key, value in STATE.items()},
    "int8": STATE | {FIRST: STATE[FIRST].to(torch.int8)},
    "int64": STATE | {FIRST: STATE[FIRST].long()},
    "bool": STATE | {FIRST: STATE[FIRST] > 0},
    "complex": STATE | {FIRST: STATE[FIRST].to(torch.complex64)},
    "NaN": STATE | {FIRST: STATE[FIRST] * math.nan},
    "one NaN": STATE | {FIRST: STATE[FIRST].index_fill(0, torch.tensor(0), math.nan)},
    "infinite": STATE | {FIRST: STATE[FIRST] / 0},
    "a name of two lines": STATE | {"extra\nline": torch.zeros(1)},
    "a name without end": STATE | {"x" * 100_000: torch.zeros(1)},
    "a name in other letters": STATE | {"\u202e\U0001f600\x00": torch.zeros(1)},
    "a prefix": {f"module.{key}": value for key, value in STATE.items()},
}

HUGE = [
    name
    for name in CONFIGS
    if any(word in name for word in ("000", "**", "[1, 1, 1", "depth", "deep", "often"))
]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config(name: str, folder: Path) -> None:
    write(folder / "model.safetensors", CONFIGS[name])
    assert "model.safetensors: " in refused("model.safetensors", folder)


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(name: str, folder: Path) -> None:
    write(folder / "model.safetensors", tensors=TENSORS[name])
    assert "model.safetensors: " in refused("model.safetensors", folder)


def test_the_wrong_place_is_said(folder: Path) -> None:
    for name, words in {
        "a list as sampler": "zoo.models.ddpm.DDPM: sampler is a list, not Sampler",
        "a first stage as clock": "clock is a Identity, not",
        "denoiser.channels='8'": "channels is '8', not int",
        "denoiser.channels=100000": "'denoiser.conv_in.weight' is (8, 1, 3, 3), not (100000, 1",
        "denoiser.num_res_blocks=1000000000": "describes more than",
    }.items():
        write(folder / "model.safetensors", CONFIGS[name])
        assert words in refused("model.safetensors", folder)
