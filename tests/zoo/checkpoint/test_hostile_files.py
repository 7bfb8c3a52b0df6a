"""Strangers' files: each is refused in one line, nothing is executed, little memory is taken."""

from __future__ import annotations

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
from safetensors.torch import save

sys.path.insert(0, str(Path(__file__).parent))
from strangers import METADATA, STATE, refused, write
from test_hostile_configs import CONFIGS, HUGE

import zoo
from zoo import checkpoint
from zoo.part import config_of

ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def header(entries: Any, data: bytes = bytes(64), length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entries(**tensors: Any) -> dict[str, Any]:
    return {"__metadata__": METADATA, **tensors}


def archived(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", content)
    return file.getvalue()


def twice() -> bytes:
    """An honest file whose first tensor stands twice in the header."""
    honest = save(STATE, METADATA)
    length = 8 + int.from_bytes(honest[:8], "little")
    content = json.loads(honest[8:length])
    name = next(name for name in content if name != "__metadata__")
    again = f", {json.dumps(name)}: {json.dumps(content[name])}}}"
    return header(json.dumps(content)[:-1].encode() + again.encode(), honest[length:])


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
    "the same name twice": twice(),
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


def test_the_honest_file_is_loaded(folder: Path) -> None:
    write(folder / "model.safetensors")
    loaded = zoo.load("model.safetensors")
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in STATE.items())


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
