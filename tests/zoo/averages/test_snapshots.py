import os

import pytest
import torch

from zoo.averages.snapshots import (
    check_training,
    combine,
    path_of,
    read,
    remove_parts,
    snapshots,
    write,
)


def averages(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return {s: {"a.weight": torch.randn(3, 2, generator=draw), "b": torch.randn(4, generator=draw)}
            for s in (0.05, 0.1)}  # fmt: skip


def taken(folder, step, dtype=torch.float32, training="x", regular=True, values=None):
    values = averages(step) if values is None else values
    return write(folder, step, values, dtype, training, regular)


def test_what_is_written_is_read_and_the_same_makes_the_same_bytes(tmp_path):
    first = taken(tmp_path, 20).read_bytes()
    assert taken(tmp_path, 20).read_bytes() == first
    snapshot = read(path_of(tmp_path, 20))
    assert (snapshot.step, snapshot.sigma_rel, snapshot.training) == (20, (0.05, 0.1), "x")
    assert snapshot.averages == [(20.0, 0.05), (20.0, 0.1)]
    values = {(s, name): value for s, name, value in snapshot.tensors()}
    assert len(values) == 4
    assert all(torch.equal(averages(20)[s][name], value) for (s, name), value in values.items())
    assert sorted(os.listdir(tmp_path)) == ["step_00000020.safetensors"]


def test_half_precision_halves_the_file_and_spares_what_it_cannot_hold(tmp_path):
    values = {0.1: {"big": torch.full((500,), 1e6), "small": torch.linspace(-1, 1, 500)}}
    taken(tmp_path, 1, torch.float16, values=values)
    tensors = {name: value for _, name, value in read(path_of(tmp_path, 1)).tensors()}
    assert torch.equal(tensors["big"], values[0.1]["big"])
    assert tensors["small"].dtype == torch.float16
    torch.testing.assert_close(tensors["small"].float(), values[0.1]["small"], atol=3e-4, rtol=0)


def test_the_snapshots_of_a_folder_in_the_order_of_their_steps(tmp_path):
    assert snapshots(tmp_path / "none") == []
    for step in (300_000_000, 20, 100):
        taken(tmp_path, step)
    (tmp_path / "notes.txt").write_text("mine")
    assert [each.step for each in snapshots(tmp_path)] == [20, 100, 300_000_000]


def test_only_the_remains_of_a_killed_writer_are_removed(tmp_path):
    taken(tmp_path, 20)
    part = tmp_path / ".step_00000040.safetensors.4711.part"
    part.write_bytes(b"torn")
    (tmp_path / "notes.txt").write_text("mine")
    remove_parts(tmp_path)
    remove_parts(tmp_path / "none")
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "step_00000020.safetensors"]


@pytest.mark.parametrize("kind", ["torn", "empty", "foreign", "renamed", "other version"])
def test_a_broken_snapshot_is_named(tmp_path, kind):
    path = taken(tmp_path, 20)
    whole = path.read_bytes()
    if kind == "renamed":
        path.rename(path_of(tmp_path, 40))
    contents = {
        "torn": whole[:-1], "empty": b"", "foreign": b"x" * 100,
        "other version": whole.replace(b'version\\": 1,', b'version\\": 9,'),
    }  # fmt: skip
    if kind in contents:
        path.write_bytes(contents[kind])
    with pytest.raises(ValueError, match=r"step_000000[24]0\.safetensors") as error:
        snapshots(tmp_path)
    assert "\n" not in str(error.value)


def test_a_flipped_bit_is_seen_when_it_is_read(tmp_path):
    path = taken(tmp_path, 20)
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged: these are not the numbers that were written"):
        combine(snapshots(tmp_path), [[0.5, 0.5]])


def test_snapshots_of_another_training_are_refused(tmp_path):
    taken(tmp_path, 20)
    taken(tmp_path, 40, training="other")
    with pytest.raises(ValueError, match=r"step_00000040\.safetensors is of another training"):
        check_training(snapshots(tmp_path), "x")


def test_combinations_are_sums_over_the_snapshots(tmp_path):
    for step in (20, 40):
        taken(tmp_path, step)
    shares = [[0.5, 2.0, -1.0, -0.5], [0.0, 0.0, 1.0, 0.0]]
    sums, one = combine(snapshots(tmp_path), shares)
    first, second = averages(20), averages(40)
    for name, value in sums.items():
        expected = 0.5 * first[0.05][name].double() + 2 * first[0.1][name].double()
        expected -= second[0.05][name].double() + 0.5 * second[0.1][name].double()
        assert torch.equal(value, expected.float())
    assert all(torch.equal(value, second[0.05][name]) for name, value in one.items())
