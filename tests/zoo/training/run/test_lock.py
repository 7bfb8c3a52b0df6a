from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from zoo.training.run.lock import FolderLock

HOLDER = """
import sys, time
from pathlib import Path
from zoo.training.run.lock import FolderLock
FolderLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "run"), FolderLock(tmp_path / "run")
    first.acquire()
    said = rf"run is in use by another training \(process {os.getpid()} on \S+ since 2\S+\): wait"
    with pytest.raises(ValueError, match=said):
        second.acquire()
    (tmp_path / "run" / "kept").touch()
    first.release()
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["kept"]
    second.acquire()
    second.release()


def test_a_folder_that_was_made_for_the_lock_alone_goes_with_it(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "runs" / "a")
    lock.acquire()
    lock.release()
    assert not (tmp_path / "runs").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (lock := FolderLock(mine)).acquire()
    lock.release()
    assert mine.is_dir()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        lock = FolderLock(tmp_path)
        with pytest.raises(ValueError, match=re.escape(f"(process {holder.pid} on ")):
            lock.acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    lock.acquire()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_it_may_be_waited_for(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.acquire()
    threading.Timer(0.3, first.release).start()
    begun = time.monotonic()
    second.acquire(wait=10)
    assert time.monotonic() - begun < 5
    second.release()


def test_a_folder_that_is_renamed_takes_its_lock_along(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "run")
    lock.acquire()
    (tmp_path / "run").rename(tmp_path / "run.1")
    lock.release(tmp_path / "run.1")
    assert not list(tmp_path.rglob(".lock"))


def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    lock = FolderLock(tmp_path)
    lock.acquire()
    assert "cannot be locked (No locks available): make sure" in capsys.readouterr().err
    lock.release()
