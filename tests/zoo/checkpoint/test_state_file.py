"""The state of a training as a file: whole, or refused in a line that says which file and why."""

import errno
import os
import shutil
import zipfile

import pytest
import torch
from torch import nn

from zoo.checkpoint import state_file


class Code:
    """A pickle that would run a command."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def state(module=None):
    return {
        "global_step": 3,
        "state_dict": (module or nn.Linear(40, 30)).state_dict(),
        "optimizer_states": [{"state": {0: torch.arange(5.0)}}],
        "lr_schedulers": [],
        "loops": {"fit_loop": {}},
        "epoch": 0,
    }


@pytest.fixture
def path(tmp_path):
    state_file.write(state(), tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def flip(path, position, bit=0):
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def test_a_state_is_read_as_it_was_written_by_torch_too(path, assert_equal):
    ours = state_file.read(path)
    assert_equal(ours, torch.load(path, weights_only=True))
    assert_equal(ours, state_file.read(path, mmap=True))
    assert ours["global_step"] == 3
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def test_the_checksum_travels_with_the_file(path, tmp_path):
    copy = shutil.copy(path, tmp_path / "copy.ckpt")
    state_file.verify(copy)
    flip(copy, 900)
    with pytest.raises(ValueError, match="copy.ckpt is damaged"):
        state_file.verify(copy)


def test_a_flipped_bit_is_refused_wherever_it_is(path):
    whole = path.read_bytes()
    size = len(whole)
    ends = [*range(0, 60, 7), *range(size - 120, size)]
    for position in [*ends, *range(0, size, size // 40)]:
        path.write_bytes(whole)
        flip(path, position, position % 8)
        with pytest.raises(ValueError, match=r"last\.ckpt is (damaged|no training state)"):
            state_file.read(path)
    path.write_bytes(whole)
    state_file.read(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.99, 0.9999])
def test_a_torn_state_is_refused(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    reason = "is empty" if share == 0 else "is (no training state, or it is torn|damaged: its end)"
    with pytest.raises(ValueError, match=f"last.ckpt {reason}.*; .*leave ckpt_path out"):
        state_file.read(path)


def archive(path, content):
    torch.save(content, path)


FOREIGN = {
    "text": (lambda path: path.write_text("hello"), "is no training state, or it is torn"),
    "zeros": (lambda path: path.write_bytes(bytes(4096)), "is no training state, or it is torn"),
    "weights": (lambda path: archive(path, nn.Linear(2, 2).state_dict()), "it lacks global_step"),
    "a tensor": (lambda path: archive(path, torch.ones(3)), "it lacks global_step"),
    "a list": (lambda path: archive(path, [1, 2]), "it lacks global_step"),
    "a wrong kind": (lambda path: archive(path, {**state(), "loops": 1}), "it lacks loops"),
    "code": (lambda path: archive(path, {**state(), "x": Code()}), "holds code"),
    "a module": (lambda path: archive(path, nn.Linear(2, 2)), "holds code, or more than tensors"),
    "the old format": (
        lambda path: torch.save(state(), path, _use_new_zipfile_serialization=False),
        "is no training state, or it is torn",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_is_no_state_is_refused_in_a_line_and_runs_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.ckpt"
    make, said = FOREIGN[name]
    make(path)
    with pytest.raises(ValueError, match=said) as refused:
        state_file.read(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "executed").exists()


def test_another_archive_is_refused(tmp_path):
    path = tmp_path / "last.ckpt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("word/document.xml", "<w/>")
    with pytest.raises(ValueError, match="is no training state"):
        state_file.read(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none\.ckpt: no such file"):
        state_file.read(tmp_path / "none.ckpt")
    with pytest.raises(ValueError, match="not a file"):
        state_file.read(tmp_path)


def test_lightnings_own_checkpoints_are_read_and_damaged_ones_are_not(tmp_path, assert_equal):
    path = tmp_path / "last.ckpt"
    torch.save(state(), path)
    assert state_file.read(path)["global_step"] == 3
    flip(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged: .* is not what was written"):
        state_file.read(path)


def test_the_refusal_names_what_else_there_is(path, tmp_path):
    shutil.copy(path, tmp_path / "step_00000002.ckpt")
    flip(path, 800)
    with pytest.raises(ValueError, match=r"another one \(beside it: step_00000002\.ckpt\)"):
        state_file.read(path)


def test_the_state_of_another_model_is_refused_by_name(path):
    read = state_file.read(path)
    state_file.check_model(read, nn.Linear(40, 30), path)
    for other, said in (
        (nn.Linear(40, 31), r"'bias' is \(30,\), not \(31,\)"),
        (nn.Sequential(nn.Linear(40, 30)), r"missing '0\.bias', '0\.weight'; surplus 'bias'"),
    ):
        with pytest.raises(ValueError, match=rf"a state of another model: {said}"):
            state_file.check_model(read, other, path)


@pytest.mark.parametrize("raised", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_what_goes_wrong_in_a_write_comes_out_and_spares_the_old_file(path, monkeypatch, raised):
    before = path.read_bytes()
    write = state_file._Stream._write
    calls = []

    def broken(self, data):
        calls.append(len(data))
        if len(calls) == 20:
            raise raised
        write(self, data)

    monkeypatch.setattr(state_file._Stream, "_write", broken)
    with pytest.raises(type(raised)):
        state_file.write(state(), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]
    assert len(calls) == 20


def test_nothing_is_written_elsewhere(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    opened = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: opened.append((a, b)) or real(a, b))
    state_file.write(state(), tmp_path / "run" / "last.ckpt")
    ((part, target),) = opened
    assert part.parent == target.parent == tmp_path / "run"
    state_file.read(target)
