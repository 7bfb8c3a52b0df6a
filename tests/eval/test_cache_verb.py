"""``zoo cache``: what is kept, and its removal by age and size."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from eval import cache
from eval.study.cache_entries import chosen, entries, remove
from zoo import cli

DAY = 86_400
KEYS = [f"{number:064x}" for number in range(8)]


def put(file: Path, size: int, days: float) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(size))
    os.utime(file, (time.time() - days * DAY - 60,) * 2)
    return file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one entry of each kind: 5, 10, 20 and 40 days old, of 100 to 400 bytes."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "cache" / "evaluations"
    for name in ("result.json", "images.npz", "facts.json"):
        put(root / KEYS[0] / name, 100, 5)
    put(root / "real" / f"{KEYS[1]}.json", 100, 10)
    for name in ("pool.npz", "pool.npy"):
        put(root / "features" / KEYS[2] / name, 200, 20)
    for name in ("0-64.npz", "64.npz"):  # the second as an earlier version wrote it
        put(root / "images" / KEYS[3] / name, 100, 40)
    return root


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_the_table_counts_each_kind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["cache"])
    printed = capsys.readouterr().out
    for line in (
        "evaluations  1, 300 B, 5 d to 5 d old",
        "baselines    1, 100 B, 10 d to 10 d old",
        "features     1, 400 B, 20 d",
        "images       1, 200 B, 40 d",
        "total        4, 1.0 KB",
    ):
        assert line in printed


def test_what_trainings_keep_is_counted_and_removed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = folder.parent / "latents" / KEYS[4]
    for name in ("train.npy", "test.npy", "complete.json"):
        put(kept / name, 100, 7)
    living = folder.parent / "latents" / KEYS[5]
    given_up = folder.parent / "captions" / KEYS[6]
    for place, days in ((living, 0), (given_up, 2)):
        for name in (".captions.npy.0.part", ".captions.blocks.0.part"):
            put(place / name, 100, days)
    others = [
        put(kept / "mine.txt", 10, 90),
        put(folder.parent / "latents" / f".{KEYS[5]}.lock", 0, 90),
        put(folder.parent / "latents" / f"{KEYS[7]}.npy", 10, 90),
    ]
    cli.main(["cache"])
    printed = capsys.readouterr().out
    assert "latents      1, 300 B, 7 d to 7 d old (encoded images of data sets)" in printed
    assert "captions     1, 200 B, 2 d to 2 d old (embeddings of captions)" in printed
    cache.main(["prune", "max_size=0B"])
    assert files(kept) == {"mine.txt"} and not given_up.exists()
    assert len(files(living)) == 2 and all(other.exists() for other in others)


def test_an_absent_cache_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "none"))
    cache.main([])
    assert "total        0, 0 B" in capsys.readouterr().out
    cache.main(["prune", "max_size=0B"])
    assert not (tmp_path / "none").exists()


def test_what_is_kept_of_data_counts_and_goes_too(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = put(folder.parent / "shards" / f"{KEYS[4]}.npz", 100, 50)
    decoded = put(folder.parent / "decoded" / f"{KEYS[5]}.npy", 100, 1)
    other = put(folder.parent / "shards" / "mine.npz", 100, 50)
    cli.main(["cache"])
    printed = capsys.readouterr().out
    assert "shards       1, 100 B, 50 d" in printed
    assert "decoded      1, 100 B, 1 d" in printed
    cli.main(["cache", "prune", "max_age=45d"])
    assert [file.exists() for file in (index, decoded, other)] == [False, True, True]


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["max_age=30d"], [0, 1, 2]),
        (["max_age=2w"], [0, 1]),
        (["max_age=0s"], []),
        (["max_age=100d"], [0, 1, 2, 3]),
        (["max_size=1KB"], [0, 1, 2, 3]),
        (["max_size=999B"], [0, 1, 2]),
        (["max_size=0.4KB"], [0, 1]),
        (["max_size=0B"], []),
        (["max_age=30d", "max_size=400B"], [0, 1]),
        (["max_size=5gb", "dry_run=false"], [0, 1, 2, 3]),
    ],
)
def test_the_oldest_go(folder: Path, arguments: list[str], left: list[int]) -> None:
    cache.main(["prune", *arguments])
    assert {int(key, 16) for key in KEYS if any(key in name for name in files(folder))} == {*left}
    assert len(entries(folder)) == len(left)
    assert not (folder / "images" / KEYS[3]).exists() or 3 in left


def test_a_dry_run_removes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(folder)
    cache.main(["prune", "max_size=0B", "dry_run=true"])
    printed = capsys.readouterr().out
    assert "would remove" in printed
    assert "total        4, 1.0 KB" in printed
    assert "0 entries of 0 B stay" in printed
    assert files(folder) == before


def test_nothing_of_others_is_removed(folder: Path, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside" / "result.json", 10, 90)
    (folder / KEYS[4]).symlink_to(outside.parent)
    (folder / "real" / f"{KEYS[5]}.json").symlink_to(outside)
    (folder / KEYS[0] / "images.npz").unlink()
    (folder / KEYS[0] / "images.npz").symlink_to(outside)
    (folder / KEYS[6] / "result.json").mkdir(parents=True)
    others = [
        put(folder / "notes.txt", 10, 90),
        put(folder / KEYS[0] / "mine.txt", 10, 90),
        put(folder / KEYS[0][:-1] / "result.json", 10, 90),
        put(folder / "real" / "mine.json", 10, 90),
        put(folder / "features" / "mine" / "pool.npy", 10, 90),
        put(folder / "features" / KEYS[2] / "pool.txt", 10, 90),
        put(folder / "images" / KEYS[3] / "deeper" / "0-4.npz", 10, 90),
        put(folder.parent / "inception.pth", 10, 90),
        put(folder / "images" / KEYS[3] / ".0-64.npz.77.part", 10, 0),  # of a living process
    ]
    abandoned = put(folder / "images" / KEYS[3] / ".0-64.npz.78.part", 10, 2)
    cache.main(["prune", "max_size=0B"])
    assert outside.is_file()
    assert all(other.is_file() for other in others)
    assert (folder / KEYS[4]).is_symlink()
    assert (folder / KEYS[0] / "images.npz").is_symlink()
    assert (folder / KEYS[6] / "result.json").is_dir()
    assert not abandoned.exists()
    assert entries(folder) == []


def test_a_mapped_file_can_be_read_after_its_removal(folder: Path) -> None:
    file = folder / "features" / KEYS[2] / "pool.npy"
    np.save(file, np.arange(1000.0))
    mapped = np.load(file, mmap_mode="c")
    cache.main(["prune", "max_size=0B"])
    assert not file.exists()
    assert mapped.sum() == 499_500


def test_two_prunings_at_once_remove_everything_once(folder: Path) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            for entry in chosen(entries(folder), None, 0):
                remove(entry)
        except BaseException as error:
            failures.append(error)

    for number in range(200):
        put(folder / "images" / f"{number + 9:064x}" / "0-4.npz", 1, 1)
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not files(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["purge"], "takes nothing or 'prune', got 'purge'; did you mean 'prune'?"),
        (["prune"], "prune needs a limit: max_age=30d, max_size=5GB, or both"),
        (["prune", "dry_run=true"], "prune needs a limit"),
        (["prune", "max_ages=3d"], "no key 'max_ages'; there are max_age, max_size, dry_run; did"),
        (["prune", "max_age=3"], "max_age is a number with s, min, h, d, w, got '3'"),
        (["prune", "max_age=-3d"], "max_age is a number with"),
        (["prune", "max_age=3GB"], "got '3GB'"),
        (["prune", "max_size=many"], "max_size is a number with B, KB, MB, GB, TB, got 'many'"),
        (["prune", "max_size="], "got ''"),
        (["prune", "max_age=1d", "dry_run=perhaps"], "dry_run is true or false, got 'perhaps'"),
        (["prune", "max_age=1d", "max_age=2d"], "'max_age' twice"),
    ],
)
def test_mistakes_are_one_line_and_remove_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    before = files(folder)
    with pytest.raises(SystemExit) as left:
        cache.main(arguments)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("zoo cache: ")
    assert message in error
    assert error.count("\n") == 1
    assert files(folder) == before


def test_help_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    cache.main(["--help"])
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("max_age", "max_size", "dry_run", "ZOO_CACHE"))
