"""Strangers' checkpoints and folders: one line, nothing executed, little memory taken."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from zoo.conditioner import ClassToken, CLIPText
from zoo.convert import from_compvis, from_diffusers, from_openai, read
from zoo.convert.__main__ import main
from zoo.convert.diffusers.folder import Files, read_conditioner
from zoo.convert.diffusers.keys import their_weights
from zoo.convert.diffusers.text import (
    read_text_encoder,
    text_encoder_config,
    text_encoder_weights,
)
from zoo.convert.diffusers.unet_config import unet_config
from zoo.convert.keys import table
from zoo.convert.openai.unet import layers
from zoo.denoiser import UNet
from zoo.part import config_of

SIZES: dict[str, Any] = dict(channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_at=())
ARGUMENTS: dict[str, Any] = dict(
    image_size=16, num_channels=32, num_res_blocks=1, channel_mult="1,2", num_heads=1,
    attention_resolutions="1", use_scale_shift_norm=False,
)  # fmt: skip
NET = UNet(3, 3, **SIZES)
OPENAI = {theirs: NET.state_dict()[ours] for ours, (theirs,) in table(NET, layers(NET)).items()}
DIFFUSERS = their_weights(NET)
CONFIG = {**unet_config(NET, [16, 16]), "_class_name": "UNet2DModel"}
FIRST = "input_blocks.0.0.weight"


class Calls:
    """Unpickled, it would call a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.made = function, arguments

    def __reduce__(self) -> Any:
        return self.made


TOUCH = "open('LOOT', 'w')"
CALLS: dict[str, Callable[[], Any]] = {
    "os.system": lambda: Calls(os.system, "touch LOOT"),
    "os.popen": lambda: Calls(os.popen, "touch LOOT"),
    "os._exit": lambda: Calls(os._exit, 3),
    "eval": lambda: Calls(eval, TOUCH),
    "exec": lambda: Calls(exec, TOUCH),
    "open": lambda: Calls(open, "LOOT", "w"),
    "subprocess": lambda: Calls(subprocess.Popen, ["touch", "LOOT"]),
    "getattr": lambda: Calls(getattr, Calls(__import__, "os"), "system"),
    "a chain": lambda: Calls(functools.partial(os.system, "touch LOOT")),
    "__import__": lambda: Calls(__import__, "antigravity"),
    "torch.hub": lambda: Calls(torch.hub.load, "nobody/nothing", "model"),
    "torch.load": lambda: Calls(torch.load, "model.pt"),
    "pickle.loads": lambda: Calls(pickle.loads, pickle.dumps(Calls(eval, TOUCH))),
    "nested": lambda: [[{"a": Calls(eval, TOUCH)}]],
    "within a call": lambda: Calls(print, Calls(eval, TOUCH)),
    "as a key": lambda: {Calls(str, Calls(eval, TOUCH)): 1},
    "map": lambda: Calls(map, eval, [TOUCH]),
}  # fmt: skip


def snapshot() -> bytes:
    """The beginning of EDM's pickles."""
    names = b"\x8c\x17torch_utils.persistence\x8c\x1b_reconstruct_persistent_obj"
    return b"\x80\x04\x95\x10\x00}\x8c\x03ema" + names


def bomb(size: int) -> bytes:
    """A compressed archive of torch's that would unpack to ``size`` zeros."""
    whole = io.BytesIO()
    torch.save(OPENAI, whole)
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(whole) as archive,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            out.writestr(name, bytes(size) if name.endswith("/data/0") else content)
    return packed.getvalue()


def tar() -> bytes:
    """torch's oldest format."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            content = pickle.dumps(Calls(eval, TOUCH))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return whole.getvalue()


def saved(content: Any, archive: bool = True) -> bytes:
    whole = io.BytesIO()
    torch.save(content, whole, _use_new_zipfile_serialization=archive)
    return whole.getvalue()


def overlapping() -> bytes:
    """An archive all of whose entries are the same bytes."""
    whole = bytearray(saved(OPENAI))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    at = whole.rindex(b"PK\x01\x02", 0, whole.rindex(largest.filename.encode()))
    struct.pack_into("<II", whole, at + 20, 2**31, 2**31)
    return bytes(whole)


FILES: dict[str, Callable[[], bytes]] = {
    **{f"{name} alone": lambda make=make: saved(make()) for name, make in CALLS.items()},  # type: ignore[misc]
    "an old file": lambda: saved({"a": Calls(eval, TOUCH)}, archive=False),
    "empty": lambda: b"",
    "text": lambda: b"these are no weights",
    "zeros": lambda: bytes(10_000),
    "torn": lambda: saved(OPENAI)[:5000],
    "torn, old": lambda: saved(OPENAI, archive=False)[:5000],
    "a plain pickle": lambda: pickle.dumps(OPENAI),
    "a plain pickle that calls": lambda: pickle.dumps(Calls(eval, TOUCH)),
    "a pickle of protocol 0": lambda: pickle.dumps(Calls(eval, TOUCH), protocol=0),
    "a network snapshot": snapshot,
    "tar": tar,
    "a bomb": lambda: bomb(2 * 10**8),
    "overlapping": overlapping,
    "a folder in an archive": lambda: bomb(0)[:200],
    "gzip": lambda: b"\x1f\x8b\x08" + bytes(50),
    "no weights": lambda: saved({"epoch": 1}),
    "an optimizer": lambda: saved({"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}),
    "a number": lambda: saved(3),
    "a tensor": lambda: saved(torch.ones(2)),
    "numbers by number": lambda: saved({1: torch.ones(2)}),
    "on the meta device": lambda: saved({k: v.to("meta") for k, v in OPENAI.items()}),
    "sparse": lambda: saved(OPENAI | {FIRST: OPENAI[FIRST].flatten(1).to_sparse()}),
    "complex": lambda: saved(OPENAI | {FIRST: OPENAI[FIRST] * 1j}),
    "fp8": lambda: saved(OPENAI | {FIRST: OPENAI[FIRST].to(torch.float8_e4m3fn)}),
    "bool": lambda: saved(OPENAI | {FIRST: OPENAI[FIRST] > 0}),
    "int8": lambda: saved(OPENAI | {FIRST: OPENAI[FIRST].to(torch.int8)}),
    "NaN": lambda: saved(OPENAI | {FIRST: OPENAI[FIRST] * math.nan}),
    "infinite": lambda: saved(OPENAI | {FIRST: OPENAI[FIRST] / 0}),
    "a huge view": lambda: saved(OPENAI | {FIRST: torch.ones(1).expand(2**40)}),
    "transposed": lambda: saved(OPENAI | {FIRST: OPENAI[FIRST].transpose(0, 1)}),
    "missing": lambda: saved({k: v for k, v in OPENAI.items() if k != FIRST}),
    "surplus": lambda: saved(OPENAI | {"extra\nline\u202e": torch.ones(1)}),
    "our own": lambda: saved(NET.state_dict()),
    "other keys": lambda: saved({"\x00": torch.ones(1)}),
}

YAMLS: dict[str, str] = {
    "aliases of aliases": "channel_mult: [&a0 [x]"
    + "".join(f", &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10))
    + "]",
    "itself": "a: &a [*a]",
    "deep": "a: " + "[" * 3000 + "]" * 3000,
    "an object": "a: !!python/object/apply:os.system ['touch LOOT']",
    "no mapping": "[1, 2]",
    "a number": "3",
    "no text": "\x00",
    "nothing": "",
    "unknown": "nonsense: 1",
    **{
        f"{name}: {value}": json.dumps({**ARGUMENTS, name: value})
        for name, values in {
            "num_channels": (10**6, 10**12, -1, 0, "x", None, [1], 32.5, 1e400),
            "num_res_blocks": (10**9, "x", -1),
            "channel_mult": ("1,x", [], "0", "1," * 40 + "1", {"a": 1}),
            "image_size": (0, -1, 10**9, "x", None),
            "attention_resolutions": ("x", "0", None),
            "num_heads": (0, "x", 10**9),
            "diffusion_steps": (10**12, 0, "x", None),
            "noise_schedule": ("x", None, [1]),
            "dropout": ("x", 7, None),
        }.items()
        for value in values
    },
}

CONFIGS: dict[str, str] = {
    "empty": "",
    "a list": "[1]",
    "a number": "3",
    "torn": '{"a": ',
    "deep": "[" * 100_000,
    "no text": "\udcff",
    "an unknown class": json.dumps({**CONFIG, "_class_name": "os.system"}),
    "no class": json.dumps({k: v for k, v in CONFIG.items() if k != "_class_name"}),
    "a class that is a list": json.dumps({**CONFIG, "_class_name": ["UNet2DModel"]}),
    "an unknown option": json.dumps({**CONFIG, "nonsense": "x\ny"}),
    **{
        f"{name}: {value!r:.30}": json.dumps({**CONFIG, name: value})
        for name, values in {
            "block_out_channels": ([10**9, 10**9], [], [0, 0], [-1, -1], ["x", "y"], "x", 3, [32]),
            "layers_per_block": (10**9, -1, "x", None, [10**9] * 2, [[1]]),
            "down_block_types": (["os.system"], "DownBlock2D", None, [1, 2], [["DownBlock2D"]] * 2),
            "in_channels": (10**12, -1, "x", None, 4),
            "norm_num_groups": (0, -1, 7, "x", None),
            "norm_eps": ("x", None),
            "sample_size": ("x", [1, 2, 3], [], 1.5, -16, 0, 10**9),
            "attention_head_dim": ("x", -1, 0),
            "dropout": ("x", -3),
            "num_class_embeds": (10**12, -1, "x"),
            "freq_shift": ("x", [], None),
            "act_fn": ([], {}, None),
            "resnet_time_scale_shift": ([], None),
        }.items()
        for value in values
    },
}  # fmt: skip


WORDS = {  # of the one check that notices
    "a network snapshot": "network snapshot of EDM",
    "overlapping": "claims to hold more than its own size",
    "aliases of aliases": "holds more than 100,000 values",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(call: Callable[[], Any], folder: Path) -> str:
    """The one line in which something is refused, with nothing executed."""
    with pytest.raises(ValueError) as caught:
        call()
    assert not (folder / "LOOT").exists()
    line = str(caught.value)
    assert "\n" not in line
    assert line.isprintable()
    assert len(line) < 1500
    return line


def arguments(path: str) -> list[str]:
    return [f"source={path}", "config=config.yaml", "out=out.safetensors"]


def test_the_honest_ones_are_converted(folder: Path) -> None:
    from_openai(OPENAI, ARGUMENTS)
    component(folder / "unet", json.dumps(CONFIG))
    from_diffusers(folder / "unet")
    torch.save(OPENAI, "model.pt")
    Path("config.yaml").write_text("\ufeff" + json.dumps(ARGUMENTS), encoding="utf-8")
    main(arguments("model.pt"))
    assert Path("out.safetensors").is_file()


@pytest.mark.parametrize("name", FILES)
def test_a_pickle(name: str, folder: Path) -> None:
    Path("model.pt").write_bytes(FILES[name]())
    line = refused(lambda: from_openai(read("model.pt"), ARGUMENTS), folder)
    assert WORDS.get(name, "") in line


@pytest.mark.parametrize("name", CALLS)
def test_calls_beside_weights_are_left_out_or_refused(name: str, folder: Path) -> None:
    for archive in (True, False):
        Path("model.pt").write_bytes(saved({"model": OPENAI, "x": CALLS[name]()}, archive))
        with contextlib.suppress(ValueError):
            assert read("model.pt").keys() == OPENAI.keys()
        assert not Path("LOOT").exists()


@pytest.mark.parametrize("name", YAMLS)
def test_a_config_of_arguments(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(OPENAI, "model.pt")
    Path("config.yaml").write_text(YAMLS[name], encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(arguments("model.pt"))
    assert caught.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert WORDS.get(name, "") in line
    assert not Path("out.safetensors").exists() and not Path("LOOT").exists()


def component(folder: Path, config: str, weights: dict[str, torch.Tensor] = DIFFUSERS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_bytes(config.encode(errors="surrogateescape"))
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_of_diffusers(name: str, folder: Path) -> None:
    component(folder / "unet", CONFIGS[name])
    refused(lambda: from_diffusers("unet"), folder)


def test_what_reads_captions_and_labels_is_compared_before_it_takes_memory(folder: Path) -> None:
    files = Files()
    config = config_of(ClassToken(2, 4)) | {"num_classes": 10**12}
    component(folder / "conditioner", json.dumps(config), ClassToken(2, 4).state_dict())
    line = refused(lambda: read_conditioner(Path("conditioner"), files), folder)
    assert "do not fit the config: 'embedding.weight' is (3, 4), not (10000000000" in line
    text = CLIPText(vocab_size=80, width=8, layers=1, heads=1, max_length=16)
    sizes = text_encoder_config(text) | {"vocab_size": 10**12}
    component(folder / "text", json.dumps(sizes), text_encoder_weights(text))
    line = refused(lambda: read_text_encoder(Path("text"), Path("tokenizer"), files), folder)
    assert (
        "do not fit the config: 'text_model.embeddings.token_embedding.weight' is (80, 8)" in line
    )


PLACES: dict[str, tuple[Callable[[Path], None], str]] = {
    "nowhere": (lambda path: None, "no such folder"),
    "a file": (lambda path: path.write_text("x") and None, "not a folder"),
    "a queue": (os.mkfifo, "not a folder"),
    "empty": (lambda path: path.mkdir(), "not a diffusers folder"),
    "a circle": (lambda path: path.symlink_to(path), "no such folder"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_place(name: str, folder: Path) -> None:
    make, words = PLACES[name]
    make(folder / "place")
    assert words in refused(lambda: from_diffusers("place"), folder)
    if name != "empty":
        words = "not a file" if "not a" in words else "no such file"
    refused(lambda: read("place"), folder)


def test_whole_models_of_strangers(folder: Path) -> None:
    node = {"unet_config": {"params": {"image_size": 16}}}
    for config in (
        node,
        {"unet_config": 3},
        {"ddconfig": []},
        {"ch": "x"},
        {"model": {"model": 3}},
    ):
        state = {f"model.diffusion_model.{key}": value for key, value in OPENAI.items()}
        refused(lambda c=config, s=state: from_compvis(s, c), folder)  # type: ignore[misc]


PROBE = """
import json, resource, sys
from zoo.convert import from_openai, from_diffusers, read
arguments = json.loads(sys.argv[1])
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
from_openai(read("honest.pt"), arguments)
before = peak()
tries = [lambda: read("bomb.pt"), lambda: from_diffusers("huge"), lambda: from_diffusers("deep")]
for change in ({"num_channels": 2**20}, {"num_res_blocks": 10**9}, {"diffusion_steps": 10**10}):
    tries.append(lambda c=change: from_openai(read("honest.pt"), {**arguments, **c}))
for index, call in enumerate(tries):
    try:
        call()
    except ValueError:
        continue
    raise SystemExit(f"{index} was converted")
print(peak() - before)
"""


def test_what_would_fill_the_memory_takes_little(folder: Path) -> None:
    torch.save(OPENAI, "honest.pt")
    Path("bomb.pt").write_bytes(bomb(10**9))
    component(folder / "huge", CONFIGS["block_out_channels: [1000000000, 1000000000]"])
    component(folder / "deep", CONFIGS["layers_per_block: 1000000000"])
    command = [sys.executable, "-c", PROBE, json.dumps(ARGUMENTS)]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    assert probe.returncode == 0, probe.stderr
    assert float(probe.stdout) < 500
