"""Strangers' files: each is refused in one line, nothing is executed, little memory is taken."""

from __future__ import annotations

import copy
import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import zoo
from zoo import checkpoint
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
FIRST = "denoiser.conv_in.weight"


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


def header(entries: Any, data: bytes = bytes(64), length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


METADATA = {"format": FORMAT, "version": "1", "config": json.dumps(CONFIG), "provenance": "{}"}
ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def entries(**tensors: Any) -> dict[str, Any]:
    return {"__metadata__": METADATA, **tensors}


def archived(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", content)
    return file.getvalue()


class Loot:
    def __reduce__(self) -> Any:
        return os.system, ("touch LOOT",)


BYTES: dict[str, bytes] = {
    "empty": b"",
    "three bytes": b"abc",
    "text": b"these are no weights, however long the text may be",
    "a page": b"<!DOCTYPE html><html>404</html>" * 10,
    "a pointer of git": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "zeros": bytes(10_000),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a pickle": pickle.dumps(Loot()),
    "an old pickle": pickle.dumps(Loot(), protocol=0),
    "a pickle of protocol 5": pickle.dumps(Loot(), protocol=5),
    "an archive": archived(pickle.dumps(Loot())),
    "an archive of zeros": archived(bytes(50_000_000)),
    "gzip": b"\x1f\x8b\x08" + bytes(40),
    "a header without end": header(entries(a=ENTRY), length=10_000_000),
    "a header of exabytes": header(entries(a=ENTRY), length=2**62),
    "a header of -1": header(entries(a=ENTRY), length=2**64 - 1),
    "a header of 90 MB": header(b'{"a":' + b"[" * 90_000_000),
    "a header that is a list": header([1]),
    "a header that is no JSON": header(b"{nope"),
    "a header of lists 100,000 deep": header(b"[" * 100_000),
    "a header of names alone": header({"a": 1}),
    "a byte-order mark": header(b"\xef\xbb\xbf" + json.dumps(entries(a=ENTRY)).encode()),
    "the same name twice": header(
        json.dumps(entries(a=ENTRY)).encode()[:-1] + b', "a": {"dtype": "F32"}}'
    ),
    "metadata that are a text": header({"__metadata__": "x", "a": ENTRY}),
    "metadata that are numbers": header({"__metadata__": {**METADATA, "config": 3}, "a": ENTRY}),
    "no metadata": header({"a": ENTRY}),
    "another format": header({"__metadata__": {"format": "pt"}, "a": ENTRY}),
    "overlapping": header(entries(a=ENTRY, b=ENTRY), bytes(4)),
    "beyond the file": header(entries(a=ENTRY | {"data_offsets": [0, 10**12]})),
    "backwards": header(entries(a=ENTRY | {"data_offsets": [4, 0]}), bytes(0)),
    "negative offsets": header(entries(a=ENTRY | {"data_offsets": [-4, 0]}), bytes(0)),
    "offsets in words": header(entries(a=ENTRY | {"data_offsets": ["0", "4"]}), bytes(4)),
    "one offset": header(entries(a=ENTRY | {"data_offsets": [4]}), bytes(4)),
    "no offsets": header(entries(a={"dtype": "F32", "shape": [1]}), bytes(4)),
    "a hole": header(entries(a=ENTRY | {"data_offsets": [8, 12]}), bytes(12)),
    "an unknown dtype": header(entries(a=ENTRY | {"dtype": "F33"}), bytes(4)),
    "a dtype that is a list": header(entries(a=ENTRY | {"dtype": []}), bytes(4)),
    "a shape of petabytes": header(entries(a=ENTRY | {"shape": [2**50]}), bytes(4)),
    "a shape that overflows": header(entries(a=ENTRY | {"shape": [2**40, 2**40]}), bytes(4)),
    "a negative shape": header(entries(a=ENTRY | {"shape": [-1]}), bytes(4)),
    "a shape in words": header(entries(a=ENTRY | {"shape": "1"}), bytes(4)),
    "a shape of fractions": header(entries(a=ENTRY | {"shape": [1.5]}), bytes(4)),
    "a shape that is NaN": header(entries(a=ENTRY | {"shape": [math.nan]}), bytes(4)),
    "64 sides": header(entries(a=ENTRY | {"shape": [1] * 100}), bytes(4)),
    "bytes behind the end": header(entries(a=ENTRY), bytes(100)),
}


def place_folder(path: Path) -> None:
    path.mkdir()


def place_circle(path: Path) -> None:
    path.symlink_to(path)


def place_nowhere(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def place_zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def place_queue(path: Path) -> None:
    os.mkfifo(path)


PLACES: dict[str, Callable[[Path], None]] = {
    "a folder": place_folder,
    "a circle": place_circle,
    "a link to nowhere": place_nowhere,
    "a link to a device": place_zero,
    "a queue": place_queue,
}

HUGE = [
    name
    for name in CONFIGS
    if any(word in name for word in ("000", "**", "[1, 1, 1", "depth", "deep", "often"))
]


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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_honest_file_is_loaded(folder: Path) -> None:
    write(folder / "model.safetensors")
    loaded = zoo.load("model.safetensors")
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in STATE.items())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config(name: str, folder: Path) -> None:
    write(folder / "model.safetensors", CONFIGS[name])
    assert "model.safetensors: " in refused("model.safetensors", folder)


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(name: str, folder: Path) -> None:
    write(folder / "model.safetensors", tensors=TENSORS[name])
    assert "model.safetensors: " in refused("model.safetensors", folder)


@pytest.mark.parametrize("name", BYTES)
def test_bytes(name: str, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(BYTES[name])
    assert "model.safetensors: " in refused("model.safetensors", folder)


@pytest.mark.parametrize("name", PLACES)
def test_a_place(name: str, folder: Path) -> None:
    PLACES[name](folder / "model.safetensors")
    assert "model.safetensors" in refused("model.safetensors", folder)


def test_a_device_and_names() -> None:
    for name, words in {
        "/dev/zero": "not a file",
        "/dev/zero/x": "no such file",
        "adm_imagenet256": "zoo convert source=FILE name=adm_imagenet256",
        "digits/ddmp": "those that ship are digits/",
        "": "not the folder of a finished run",
        "\0": "no such file",
        "x" * 5000: "no such file",
    }.items():
        with pytest.raises(ValueError, match=words):
            zoo.load(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(folder: Path) -> None:
    write(folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0)
    assert "cannot be read: Permission denied" in refused("model.safetensors", folder)


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


PROBE = """
import json, resource, sys, time
import zoo
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
zoo.load("honest.safetensors")
before, slow = peak(), {}
for path in sys.argv[1:]:
    begin = time.perf_counter()
    try:
        zoo.load(path)
    except ValueError:
        pass
    else:
        raise SystemExit(f"{path} was loaded")
    slow[path] = time.perf_counter() - begin
print(json.dumps([peak() - before, max(slow.values()), max(slow, key=slow.get)]))
"""


def test_what_would_fill_the_memory_takes_little(folder: Path) -> None:
    assert len(HUGE) > 15
    paths = []
    for index, name in enumerate(HUGE):
        write(folder / f"config{index}.safetensors", CONFIGS[name])
        paths.append(f"config{index}.safetensors")
    for index, name in enumerate(BYTES):
        (folder / f"bytes{index}.safetensors").write_bytes(BYTES[name])
        paths.append(f"bytes{index}.safetensors")
    write(folder / "honest.safetensors")
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, *paths], capture_output=True, text=True, check=False
    )
    assert probe.returncode == 0, probe.stderr
    megabytes, seconds, slowest = json.loads(probe.stdout)
    print(f"{len(paths)} files: {megabytes:.0f} MB, at most {seconds:.1f} s ({slowest})")
    assert megabytes < 500
    assert seconds < 20, slowest


def test_names_are_loaded_as_on_the_command_line() -> None:
    for name in ("digits/ddpm", "digits/ddpm.safetensors"):
        loaded = zoo.load(name)
        assert loaded.loaded_from.is_file()
        assert checkpoint.config(name)["_target_"] == config_of(loaded)["_target_"]
        assert checkpoint.provenance(name)
