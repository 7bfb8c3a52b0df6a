"""Published pickles are read, and no pickle does anything."""

from __future__ import annotations

import collections
import datetime
import functools
import io
import os
import pickle
import struct
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo.convert.weights.pickle import read_pickle
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


class Started(Touch):
    """By way of a process of its own, with a state for it."""

    def __reduce__(self) -> Any:
        return subprocess.Popen, (["touch", str(self.path)],), {"__setstate__": subprocess.call}


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

    class AttributeDict(dict):
        pass

    for kind in (ModelCheckpoint, AttributeDict):
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
    hyper = module.AttributeDict(rate=0.5)
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
    assert found["hyper_parameters"] == {"rate": 0.5}
    assert found["empty"].shape == (0, 4)
    for key, value in held["state_dict"].items():
        assert torch.equal(found["state_dict"][key], value)
        assert found["state_dict"][key].dtype == value.dtype
        assert type(found["state_dict"][key]) is Tensor
    assert read(path).keys() == held["state_dict"].keys()


@pytest.mark.parametrize("archive", FORMATS)
@pytest.mark.parametrize("attack", [Touch, Popped])
def test_a_file_that_names_the_system_is_refused(
    attack: Any, archive: bool, tmp_path: Path
) -> None:
    path, sign = tmp_path / "model.pt", tmp_path / "executed"
    torch.save({"evil": attack(sign)}, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(ValueError, match=r"GLOBAL posix\.system whose module posix is blocked$"):
        read_pickle(path)
    assert not sign.exists()


@pytest.mark.parametrize("archive", FORMATS)
@pytest.mark.parametrize("attack", [Evaluated, Opened, Started])
def test_nothing_in_a_file_is_executed(attack: Any, archive: bool, tmp_path: Path) -> None:
    path, sign = tmp_path / "model.pt", tmp_path / "executed"
    held = {"state_dict": {"a": torch.ones(2)}, "evil": attack(sign), "list": [attack(sign)]}
    torch.save(held, path, _use_new_zipfile_serialization=archive)
    found = read_pickle(path)
    assert not sign.exists()
    assert found["state_dict"]["a"].tolist() == [1, 1]
    assert "evil" not in found


@pytest.mark.parametrize("archive", FORMATS)
def test_what_training_states_hold_beside_weights(archive: bool, tmp_path: Path) -> None:
    path, weight = tmp_path / "model.ckpt", torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    held = {
        "optimizer": optimizer.state_dict(), "sets": [{1}, frozenset([2])], "bytes": b"abc",
        "milestones": collections.Counter([3]), "losses": collections.deque([0.5], maxlen=9),
        "by name": collections.defaultdict(list, a=[1]), "large": 2**80, "complex": 1j,
        "numbers": [np.float32(0.5), np.bool_(True), np.dtype(">i4").type(4)],
        "arrays": [np.arange(3), np.array([print], dtype=object)],
        "others": [datetime.timedelta(1), functools.partial(print, 1), Path("x"), torch.float16],
    }  # fmt: skip
    torch.save(held, path, _use_new_zipfile_serialization=archive)
    found = read_pickle(path)
    state = found.pop("optimizer")["state"][0]
    assert torch.equal(state["exp_avg"], torch.full((2,), 0.1)) and state["step"] == 1
    assert found == {
        "sets": [{1}, {2}], "bytes": b"abc", "milestones": {3: 1}, "losses": [0.5],
        "by name": {"a": [1]}, "large": 2**80, "complex": 1j, "numbers": [0.5, True, 4],
        "arrays": [None, None], "others": [None] * 4,
    }  # fmt: skip


class Lines(list):
    pass


def test_a_kind_of_list_that_torch_cannot_fill_is_refused_with_a_remedy(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2), "lines": Lines([1])}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"append to lists.*save its state dict by torch\.save$"):
        read_pickle(tmp_path / "model.pt")


def archive_of(path: Path, program: bytes, storage: bytes = b"\0" * 16) -> Path:
    """A file of torch's whose pickle is ``program``."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", storage)
    return path


def text(words: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(words)) + words.encode()


def number(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def named(target: str) -> bytes:
    module, _, name = target.rpartition(".")
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def together(*parts: bytes) -> bytes:
    return pickle.MARK + b"".join(parts) + pickle.TUPLE


def program(*parts: bytes) -> bytes:
    """A pickle in torch's own protocol."""
    return pickle.PROTO + b"\x02" + b"".join(parts) + pickle.STOP


def calling(target: str, *arguments: bytes) -> bytes:
    return named(target) + together(*arguments) + pickle.REDUCE


def storage(key: str = "0", count: int = 4) -> bytes:
    device = text("cpu")
    pid = together(text("storage"), named("torch.FloatStorage"), text(key), device, number(count))
    return pid + pickle.BINPERSID


REBUILD = "torch._utils._rebuild_tensor_v2"


def tensor(offset: int, size: list[int], stride: list[int], over: bytes = storage()) -> bytes:
    sides = [together(*map(number, sides)) for sides in (size, stride)]
    return calling(REBUILD, over, number(offset), *sides, pickle.NEWFALSE, pickle.EMPTY_DICT)


LIES = {  # programs, and what is said of them
    "beyond the storage": (tensor(0, [5], [1]), "resize storage"),
    "before the storage": (tensor(-1, [4], [1]), "offset -1"),
    "by its stride": (tensor(0, [2], [9]), "resize storage"),
    "backwards": (tensor(3, [4], [-1]), "strides=[-1]"),
    "two sides, one stride": (tensor(0, [2, 2], [1]), "stride length (1)"),
    "over no storage": (tensor(0, [2], [1], text("0")), "'str' object has no attribute"),
    "a larger storage": (tensor(0, [4], [1], storage(count=400_000_000)), "size (16 bytes)"),
    "another file's storage": (tensor(0, [4], [1], storage("../../etc/x")), "file not found"),
    "a state for the tensor": (
        tensor(0, [4], [1]) + together(*map(number, (1, 2, 3, 4))) + pickle.BUILD,
        "set_()",
    ),
    "a state for the tensor that makes it larger": (
        tensor(0, [4], [1])
        + together(storage(), number(0), together(number(9)), together(number(1)))
        + pickle.BUILD,
        "resize storage",
    ),
    "a state for the function": (
        named(REBUILD) + pickle.EMPTY_DICT + text("__code__") + number(1)
        + pickle.SETITEM + pickle.BUILD,
        "got <class 'function'>",
    ),
    "a state for a placeholder's class": (
        named("evil.Class") + pickle.EMPTY_DICT + text("__new__") + number(1)
        + pickle.SETITEM + pickle.BUILD,
        "got <class 'type'>",
    ),
    "a call of what was made": (
        calling("evil.Class") + pickle.EMPTY_TUPLE + pickle.REDUCE,
        "unrecognized function",
    ),
    "a system's module": (calling("posix.system", text("true")), "posix is blocked"),
    "a persistent id": (text("os.system") + pickle.BINPERSID, "must be tuple or int"),
    "a persistent module": (
        together(text("module"), named("evil.Class"), text("a"), text("b")) + pickle.BINPERSID,
        "Only persistent_load of storage",
    ),
    "itself": (pickle.EMPTY_LIST + b"q\x00h\x00a", "contain themselves"),
    "an older protocol": (b"(S'a'\nI1\nd", "Unsupported operand"),
}  # fmt: skip
ENDLESS = {"nothing": b"", "no end": pickle.MARK + number(1) + number(2)}


@pytest.mark.parametrize("name", LIES)
def test_a_file_that_lies_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    parts, words = LIES[name]
    path = archive_of(tmp_path / "model.pt", program(parts))
    with pytest.raises(ValueError) as raised:
        read_pickle(path)
    assert str(path) in str(raised.value)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "weights_only" not in str(raised.value)  # torch advises to execute the file


@pytest.mark.parametrize("name", ENDLESS)
def test_a_program_without_an_end_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a file that torch wrote: EOFError"):
        read_pickle(archive_of(tmp_path / "model.pt", ENDLESS[name]))


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_protocols_are_refused_with_a_remedy(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"a": torch.ones(2), "s": {b"1"}}, path, pickle_protocol=protocol)
    with pytest.raises(ValueError, match=r"save its state dict by torch\.save$"):
        read_pickle(path)


def test_attributes_of_what_is_allowed_are_not_reached_by_dotted_names(tmp_path: Path) -> None:
    dotted = calling("collections.OrderedDict.__init__.__class__", text("x"))
    parts = pickle.EMPTY_LIST + dotted + pickle.APPEND
    assert read_pickle(archive_of(tmp_path / "model.pt", program(parts))) == [None]


def test_an_honest_program_of_the_same_kind_is_read(tmp_path: Path) -> None:
    numbers = np.array([1, 2, 3, 4], dtype="<f4").tobytes()
    found = read_pickle(archive_of(tmp_path / "model.pt", program(tensor(1, [3], [1])), numbers))
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
        archive.writestr("model/data.pkl", program(calling("os.system", text("true"))))
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
