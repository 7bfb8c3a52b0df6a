"""An entry is whole, right and written by one process, or it is refused."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.encodings.entry import entry
from zoo.encodings.request import Request, Source

ROWS = torch.randn(17, 3, 4, generator=torch.Generator().manual_seed(0))


class Network:
    """Counts what is asked of it, and can fail."""

    def __init__(self) -> None:
        self.asked: list[range] = []
        self.fails_at: int | None = None
        self.rows = ROWS.clone()

    def __call__(self, items: range) -> Tensor:
        self.asked.append(items)
        if self.fails_at is not None and self.fails_at in items:
            raise KeyboardInterrupt
        return self.rows[items.start : items.stop]


def request(network: Network, **changes: Any) -> Request:
    sources = {"train": Source(17, 1, network), "test": Source(3, 1, network)}
    values: dict[str, Any] = dict(
        kind="latents", about="few", unit="images", encoder={"first_stage": "a"},
        content={"train": "b"}, dtype="float32", sources=sources, row_shape=(3, 4),
    )  # fmt: skip
    return Request(**{**values, **changes})


def blocks(network: Network) -> list[tuple[int, int]]:
    asked = [(items.start, items.stop) for items in network.asked]
    network.asked.clear()
    return [block for block in asked if block != (0, 1)]


def test_it_is_written_once_and_then_read(tmp_path: Path) -> None:
    network = Network()
    for _ in range(2):
        tables = entry(tmp_path / "kept", request(network)).tables
        assert torch.equal(tables["train"].rows, ROWS)
        assert torch.equal(tables["test"].rows, ROWS[:3])
    assert blocks(network) == [(0, 4), (4, 8), (8, 12), (12, 17), (0, 3)]
    assert {file.name for file in tmp_path.rglob("*")} == {
        "kept", "train.npy", "test.npy", "complete.json",
    }  # fmt: skip


def test_rows_are_given_in_the_order_asked_for(tmp_path: Path) -> None:
    table = entry(tmp_path / "kept", request(Network())).tables["train"]
    indices = torch.tensor([16, 3, 3, 0, 9])
    assert torch.equal(table.gather(indices), ROWS[indices])
    table.gather(indices).zero_()
    table.rows[0] = 7  # pages are private
    assert torch.equal(entry(tmp_path / "kept", request(Network())).tables["train"].rows, ROWS)


@pytest.mark.parametrize(("fails_at", "left"), [(0, 4), (5, 3), (16, 1), (17, 0)])
def test_a_killed_writers_work_is_taken_up(tmp_path: Path, fails_at: int, left: int) -> None:
    network = Network()
    network.fails_at = fails_at
    if fails_at < 17:
        with pytest.raises(KeyboardInterrupt):
            entry(tmp_path / "kept", request(network))
        assert not (tmp_path / "kept" / "complete.json").exists()
    network.fails_at, network.asked = None, []
    tables = entry(tmp_path / "kept", request(network)).tables
    assert torch.equal(tables["train"].rows, ROWS)
    if fails_at < 17:
        assert len(blocks(network)) == left + 1
    assert sorted(file.name for file in (tmp_path / "kept").iterdir()) == [
        "complete.json", "test.npy", "train.npy",
    ]  # fmt: skip


@pytest.mark.parametrize("tear", ["block", "journal", "line", "another", "short"])
def test_what_is_not_whole_of_a_killed_writers_work_is_written_again(
    tmp_path: Path, tear: str
) -> None:
    network = Network()
    network.fails_at = 13
    with pytest.raises(KeyboardInterrupt):
        entry(tmp_path / "kept", request(network))
    part, journal = (tmp_path / "kept" / f".train.{what}.0.part" for what in ("npy", "blocks"))
    content = bytearray(part.read_bytes())
    if tear == "block":
        content[128 + 5 * 48] ^= 1  # in the second block
        part.write_bytes(content)
    elif tear == "short":
        part.write_bytes(content[: 128 + 9 * 48])
    elif tear == "journal":
        journal.unlink()
    elif tear == "line":
        journal.write_text(journal.read_text()[:-9])
    network.fails_at, network.asked = None, []
    changes = {"encoder": {"first_stage": "z"}} if tear == "another" else {}
    kept = entry(tmp_path / "kept", request(network, **changes))
    assert torch.equal(kept.tables["train"].rows, ROWS)
    left = {"block": 3, "journal": 4, "line": 2, "another": 4, "short": 2}[tear]
    assert len(blocks(network)) == left + 1


def test_killed_between_two_renames(tmp_path: Path) -> None:
    network, folder = Network(), tmp_path / "kept"
    network.fails_at = 16
    with pytest.raises(KeyboardInterrupt):
        entry(folder, request(network))
    (folder / ".train.npy.0.part").rename(folder / "train.npy")
    network.fails_at, network.asked = None, []
    assert torch.equal(entry(folder, request(network)).tables["train"].rows, ROWS)
    assert len(blocks(network)) == 2


DAMAGES = {
    "a bit of a row": ("train.npy", lambda content: content[:400] + b"!" + content[401:]),
    "the last bit": ("test.npy", lambda content: content[:-1] + bytes([content[-1] ^ 128])),
    "a bit of the header": ("train.npy", lambda content: content[:60] + b"9" + content[61:]),
    "a header of nothing": ("train.npy", lambda content: b"\0" * 128 + content[128:]),
    "a row too few": ("train.npy", lambda content: content[:-48]),
    "a byte too many": ("test.npy", lambda content: content + b"\0"),
    "an empty table": ("test.npy", lambda content: b""),
    "no table": ("train.npy", lambda content: None),
    "a digest": ("complete.json", lambda content: content.replace(b'"blocks"', b'"block"')),
    "half of the facts": ("complete.json", lambda content: content[: len(content) // 2]),
    "other facts": ("complete.json", lambda content: b"[1]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_with_a_remedy(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "kept"
    entry(folder, request(Network()))
    name, change = DAMAGES[damage]
    content = change((folder / name).read_bytes())
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match="is damaged") as refusal:
        entry(folder, request(Network()))
    assert f"remove {folder}, it is then written again" in str(refusal.value)
    shutil.rmtree(folder)
    entry(folder, request(Network()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": {"first_stage": "z"}}, "it was made by another autoencoder"),
        ({"content": {"train": "z"}}, "it was made of other images, or of other mirroring"),
        ({"dtype": "float16"}, "it holds float32: set cache_dtype=float32"),
        ({"kind": "captions"}, "it holds latents"),
    ],
)
def test_another_cache_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    entry(tmp_path / "kept", request(Network()))
    with pytest.raises(ValueError, match=message):
        entry(tmp_path / "kept", request(Network(), **changes))


def test_another_version_is_refused(tmp_path: Path) -> None:
    from zoo.encodings.identity import content_digest

    entry(tmp_path / "kept", request(Network()))
    file = tmp_path / "kept" / "complete.json"
    content = json.loads(file.read_text())
    content.pop("sha256")
    content["identity"]["format"] = 0
    file.write_text(json.dumps({**content, "sha256": content_digest(content)}))
    with pytest.raises(ValueError, match="another version wrote it"):
        entry(tmp_path / "kept", request(Network()))


def test_other_code_of_the_same_weights_is_refused(tmp_path: Path) -> None:
    network = Network()
    entry(tmp_path / "kept", request(network))
    network.rows = ROWS * 1.001  # another device's rounding, at its worst
    entry(tmp_path / "kept", request(network))
    network.rows = -ROWS
    with pytest.raises(ValueError, match="was written by other code"):
        entry(tmp_path / "kept", request(network))


def test_a_users_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    (tmp_path / "file").touch()
    for name in ("mine", "file"):
        with pytest.raises(ValueError, match="is not a cache of latents: give another path"):
            entry(tmp_path / name, request(Network()))
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["photo.jpg"]


def test_room_is_looked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=20 * 48 - 1))
    with pytest.raises(OSError, match=r"latents of few need 960 B .*, 959 B are free: make room"):
        entry(tmp_path / "kept", request(network))
    assert not network.asked and not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (float("nan"), "float32", "number 9 cannot be kept, it is not finite"),
        (float("-inf"), "float16", "number 9 cannot be kept, it is not finite"),
        (7e4, "float16", "it does not fit into float16: set cache_dtype=float32"),
    ],
)
def test_what_is_not_finite_is_not_kept(
    tmp_path: Path, value: float, dtype: str, message: str
) -> None:
    network = Network()
    network.rows[9, 1, 2] = value
    with pytest.raises(ValueError, match=message):
        entry(tmp_path / "kept", request(network, dtype=dtype))


def test_of_several_one_writes(tmp_path: Path) -> None:
    networks = [Network() for _ in range(4)]
    threads = [
        threading.Thread(target=entry, args=(tmp_path / "kept", request(network)))
        for network in networks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(blocks(network)) for network in networks) == [0, 0, 0, 5]
    assert torch.equal(entry(tmp_path / "kept", request(Network())).tables["test"].rows, ROWS[:3])
