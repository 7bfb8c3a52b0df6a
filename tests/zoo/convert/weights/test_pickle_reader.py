"""Published pickles are read, and no pickle does anything."""

from __future__ import annotations

import collections
import io
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo.convert.weights.pickle_reader import read_pickle
from zoo.convert.weights.read import read

FORMATS = [True, False]  # zip, and the sequence of pickles before torch 1.6


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


class Evaluated(Touch):
    def __reduce__(self) -> Any:
        return eval, (f"open({str(self.path)!r}, 'w')",)


class Opened(Touch):
    def __reduce__(self) -> Any:
        return io.open, (str(self.path), "w")


class Popped(Touch):
    """By way of a state that its class would act on."""

    def __reduce__(self) -> Any:
        return collections.defaultdict, (print,), {"__setstate__": os.system}, iter([os.system])


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package that is there while the file is written, and gone when it is read."""
    package, module = types.ModuleType("pl_fake"), types.ModuleType("pl_fake.callbacks")

    class ModelCheckpoint:
        def __init__(self) -> None:
            self.best = 0.5

    class Attributes(dict):
        pass

    for kind in (ModelCheckpoint, Attributes):
        kind.__module__, kind.__qualname__ = "pl_fake.callbacks", kind.__name__
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "pl_fake", package)
    monkeypatch.setitem(sys.modules, "pl_fake.callbacks", module)
    yield module
    assert "pl_fake.callbacks" not in sys.modules


def published(module: Any) -> dict[str, Any]:
    """What a checkpoint of latent diffusion looks like."""
    weight = torch.arange(6.0).view(2, 3)
    state = collections.OrderedDict(
        [("a.weight", weight), ("a.half", weight.half()), ("a.view", weight.T[1:])]
    )
    state["a.parameter"] = torch.nn.Parameter(torch.ones(2), requires_grad=True)
    state._metadata = collections.OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    made = module.ModelCheckpoint()
    hyper = module.Attributes()
    hyper["lr"] = made
    return {
        "epoch": 3,
        "global_step": np.int64(7),
        "state_dict": state,
        "callbacks": {module.ModelCheckpoint: {"best": torch.tensor(1.0)}, "name": made},
        "hyper_parameters": hyper,
        "list": [1, made, "x", (2.5, None)],
        "empty": torch.zeros(0, 4),
    }


@pytest.mark.parametrize("archive", FORMATS)
def test_weights_beside_classes_that_nobody_has(
    archive: bool, lightning: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, held = tmp_path / "model.ckpt", published(lightning)
    torch.save(held, path, _use_new_zipfile_serialization=archive)
    monkeypatch.delitem(sys.modules, "pl_fake.callbacks")
    monkeypatch.delitem(sys.modules, "pl_fake")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    found = read_pickle(path)
    assert (found["epoch"], found["global_step"]) == (3, 7)
    assert found["list"] == [1, None, "x", [2.5, None]]
    assert found["callbacks"] == {}
    assert "hyper_parameters" not in found
    assert found["empty"].shape == (0, 4)
    for key, value in held["state_dict"].items():
        assert torch.equal(found["state_dict"][key], value)
        assert found["state_dict"][key].dtype == value.dtype
        assert type(found["state_dict"][key]) is Tensor
    assert read(path).keys() == held["state_dict"].keys()


@pytest.mark.parametrize("archive", FORMATS)
@pytest.mark.parametrize("attack", [Touch, Evaluated, Opened, Popped])
def test_nothing_in_a_file_is_executed(attack: Any, archive: bool, tmp_path: Path) -> None:
    path, sign = tmp_path / "model.pt", tmp_path / "executed"
    held = {"state_dict": {"a": torch.ones(2)}, "evil": attack(sign), "list": [attack(sign)]}
    torch.save(held, path, _use_new_zipfile_serialization=archive)
    found = read_pickle(path)
    assert not sign.exists()
    assert found["state_dict"]["a"].tolist() == [1, 1]
    assert "evil" not in found


def archive_of(path: Path, program: bytes, storage: bytes = b"\0" * 16) -> Path:
    """A file of torch's whose pickle is ``program``."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", storage)
    return path


def calling(target: str, arguments: str, after: str = "") -> bytes:
    """A pickle, in the oldest protocol, that calls something with arguments."""
    module, _, name = target.rpartition(".")
    return f"c{module}\n{name}\n({arguments}tR{after}.".encode()


REBUILD = "torch._utils._rebuild_tensor_v2"
STORAGE = "(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4\ntQ"
LIES = {  # programs, and what is said of them
    "beyond the storage": (
        calling(REBUILD, f"{STORAGE}I0\n(I5\nt(I1\ntI00\n(d"),
        "reaches to number 4 of a storage of 4",
    ),
    "before the storage": (calling(REBUILD, f"{STORAGE}I-1\n(I4\nt(I1\ntI00\n(d"), "offset -1"),
    "by its stride": (calling(REBUILD, f"{STORAGE}I0\n(I2\nt(I9\ntI00\n(d"), "number 9"),
    "backwards": (calling(REBUILD, f"{STORAGE}I3\n(I4\nt(I-1\ntI00\n(d"), "stride (-1,)"),
    "two sides, one stride": (
        calling(REBUILD, f"{STORAGE}I0\n(I2\nI2\nt(I1\ntI00\n(d"),
        "stride (1,)",
    ),
    "over no storage": (calling(REBUILD, "S'0'\nI0\n(I2\nt(I1\ntI00\n(d"), "no storage"),
    "a larger storage": (
        calling(REBUILD, f"{STORAGE.replace('I4', 'I400000000')}I0\n(I4\nt(I1\ntI00\n(d"),
        "has 16 bytes, not 1600000000",
    ),
    "another file's storage": (
        calling(REBUILD, STORAGE.replace("'0'", "'../../etc/x'") + "I0\n(I4\nt(I1\ntI00\n(d"),
        "no item named",
    ),
    "a state for the tensor": (
        calling(REBUILD, f"{STORAGE}I0\n(I4\nt(I1\ntI00\n(d", after="(I1\nI2\nI3\nI4\ntb"),
        "change a tensor",
    ),
    "a state for the function": (
        b"ctorch._utils\n_rebuild_tensor_v2\n(dS'__code__'\nI1\nsb.",
        "change a function",
    ),
    "a persistent id": (b"S'os.system'\nQ.", "no storage's"),
    "nothing": (b"", "Ran out of input"),
    "no end": (b"(I1\nI2\n", "Ran out of input"),
    "itself": (b"\x80\x02]q\x00h\x00a.", "contain themselves"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_file_that_lies_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    program, words = LIES[name]
    path = archive_of(tmp_path / "model.pt", program)
    with pytest.raises(ValueError) as raised:
        read_pickle(path)
    assert str(path) in str(raised.value)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_attributes_of_what_is_allowed_are_not_reached_by_dotted_names(tmp_path: Path) -> None:
    dotted = b"OrderedDict.__init__.__class__"
    name = bytes([len(dotted)]) + dotted
    program = b"\x80\x04]\x94\x8c\x0bcollections\x8c" + name + b"\x93a."
    assert read_pickle(archive_of(tmp_path / "model.pt", program)) == [None]


def test_an_honest_program_of_the_same_kind_is_read(tmp_path: Path) -> None:
    program = calling(REBUILD, f"{STORAGE}I1\n(I3\nt(I1\ntI00\n(d")
    numbers = np.array([1, 2, 3, 4], dtype="<f4").tobytes()
    found = read_pickle(archive_of(tmp_path / "model.pt", program, numbers))
    assert found.tolist() == [2, 3, 4]


@pytest.mark.parametrize("archive", FORMATS)
def test_a_torn_file_is_refused(archive: bool, tmp_path: Path, lightning: Any) -> None:
    path = tmp_path / "model.ckpt"
    held = published(lightning) | {"large": torch.ones(4000)}
    torch.save(held, path, _use_new_zipfile_serialization=archive)
    whole = path.read_bytes()
    sys.modules.pop("pl_fake.callbacks")
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"model\.ckpt: torn"):
            read_pickle(path)


def test_a_flipped_bit_among_the_numbers_of_an_archive_is_noticed(
    tmp_path: Path, lightning: Any
) -> None:
    path = tmp_path / "model.ckpt"
    torch.save(published(lightning) | {"large": torch.full((4000,), 1.5)}, path)
    sys.modules.pop("pl_fake.callbacks")
    data = bytearray(path.read_bytes())
    data[data.index(np.full(8, 1.5, "<f4").tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="torn"):
        read_pickle(path)


def test_programs_of_torchscript_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", calling("os.system", "S'true'\n"))
        archive.writestr("model/constants.pkl", b"N.")
    with pytest.raises(ValueError, match="TorchScript"):
        read_pickle(path)


def test_an_archive_around_a_checkpoint_is_to_be_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "celeba.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.ckpt", b"...")
    with pytest.raises(ValueError, match=r"unpack model\.ckpt first"):
        read(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for text in (b"hello", pickle.dumps({"a": 1}), b"PK\x03\x04"):
        path.write_bytes(text)
        with pytest.raises(ValueError, match="torn, or not a file that torch wrote"):
            read_pickle(path)
    with pytest.raises(ValueError, match="no such file"):
        read(tmp_path / "absent.pt")


def test_safetensors_whole_and_in_shards(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"a": torch.ones(2), "b": torch.zeros(3)}
    save_file(state, tmp_path / "model.safetensors")
    assert read(tmp_path / "model.safetensors").keys() == state.keys()
    assert read(tmp_path).keys() == state.keys()
    folder = tmp_path / "sharded"
    folder.mkdir()
    for key in state:
        save_file({key: state[key]}, folder / f"{key}.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}')
    for path in (folder, index):
        found = read(path)
        assert all(torch.equal(found[key], value) for key, value in state.items())
    index.write_text('{"weight_map": {"a": "../model.safetensors"}}')
    with pytest.raises(ValueError, match="does not lie beside the index"):
        read(index)
    index.write_text('{"weight_map": {"c": "a.safetensors"}}')
    with pytest.raises(ValueError, match="the shards lack 'c'"):
        read(index)
    (folder / "a.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="torn"):
        read(index)


def test_a_file_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "optimizer": {"lr": 0.1}}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"no weights found; it holds 'epoch', 'optimizer'"):
        read(tmp_path / "model.pt")
