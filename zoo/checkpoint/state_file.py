"""A training's state as one file, which is whole or refused.

It is what ``torch.save`` writes, a zip archive, with the SHA-256 of everything before it as the
archive's comment: ``torch.load(path, weights_only=True)`` reads it as any other, and a copy of the
file takes its checksum along.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZipFile, is_zipfile

from zoo.checkpoint.fit import check_fit
from zoo.system.files import replacing

if TYPE_CHECKING:
    from torch import nn

_TAG = b"diffusion-zoo sha256 "
_DIGITS = 64  # of a SHA-256
_END = 22  # bytes of a zip archive's last record, without its comment
_COMMENT = len(_TAG) + _DIGITS
_BLOCK = 2**20
_KEYS = {
    "global_step": int,
    "state_dict": Mapping,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": Mapping,
}


def write(state: Mapping[str, Any], path: str | Path) -> None:
    """Writes a state beside ``path`` and moves it there when it is on the disk.

    Args:
        state: tensors, numbers and texts in dicts and lists.
        path: the file; an older one stays whole until the new one replaces it.

    Raises:
        OSError: the file cannot be written; an older one is as it was.
    """
    import torch

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, open(part, "wb") as file:
        stream = _Stream(file)
        torch.save(dict(state), stream)  # type: ignore[arg-type]
        stream.finish()


def read(path: str | Path, mmap: bool = False) -> dict[str, Any]:
    """The state in a file, on the CPU. Nothing but tensors and plain values is unpickled.

    Args:
        path: a file that ``write`` wrote, or another of Lightning's checkpoints.
        mmap: leave tensors on the disk until they are used.

    Raises:
        ValueError: the file is missing, empty, torn, changed or no training state; or holds code.
    """
    import torch

    path = Path(path)
    verify(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError:
        raise _refusal(path, "holds code, or more than tensors and plain values") from None
    except Exception:  # a foreign archive may break the reader anywhere
        raise _refusal(path, "is no training state") from None
    missing = [
        key
        for key, kind in _KEYS.items()
        if not isinstance(state, dict) or not isinstance(state.get(key), kind)
    ]
    if missing:
        raise _refusal(path, f"is no training state: it lacks {', '.join(missing)}")
    return dict(state)


def verify(path: str | Path) -> None:
    """Tests a file's checksum; of one without, such as Lightning's own, that of each part.

    Raises:
        ValueError: the file is missing, empty, torn, changed or no archive of torch.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {'not a' if path.exists() else 'no such'} file")
    try:
        about = path.stat()
        _verify(path, about.st_size, about.st_mtime_ns, about.st_ino)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None


def check_model(state: Mapping[str, Any], module: nn.Module, path: str | Path) -> None:
    """Refuses the state of another model, before anything is loaded into this one.

    Raises:
        ValueError: names or shapes of the weights differ; up to 5 of each are named.
    """
    try:
        check_fit(module.state_dict(), state["state_dict"])
    except ValueError as error:
        reason = str(error).replace("the weights do not fit the config: ", "")
        raise _refusal(Path(path), f"is a state of another model: {reason}") from None


class _Stream:
    """The file that ``torch.save`` writes to: hashes, and keeps the archive's last record back.

    An exception must not cross torch's C++ code, which calls ``write``: it is raised by ``finish``.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.digest = hashlib.sha256()
        self.end = b""
        self.error: BaseException | None = None

    def write(self, data: bytes | memoryview) -> int:
        size = memoryview(data).nbytes  # torch hands over other kinds of buffers too
        try:
            if self.error is None:
                self._write(memoryview(data).cast("B"))
        except BaseException as error:
            self.error = error
        return size

    def flush(self) -> None:
        """Nothing: the file is synchronised once, before it is moved."""

    def finish(self) -> None:
        """Writes the last record, with the checksum as its comment."""
        if self.error is not None:
            raise self.error
        end = self.end[:-2] + _COMMENT.to_bytes(2, "little") + _TAG
        self.digest.update(end)
        self.file.write(end + self.digest.hexdigest().encode())

    def _write(self, data: memoryview) -> None:
        if len(data) < _END:
            data = memoryview(self.end + data)
            self.end = b""
        for block in (self.end, data[:-_END]):
            self.digest.update(block)
            self.file.write(block)
        self.end = bytes(data[-_END:])


@lru_cache(maxsize=8)
def _verify(path: Path, size: int, *_: int) -> None:
    """Tests a file once as long as its size, time and place on the disk are the same."""
    if size == 0:
        raise _refusal(path, "is empty")
    with path.open("rb") as file:
        file.seek(max(0, size - _COMMENT - _END))
        tail = file.read()
        if tail[_END - 2 : -_DIGITS] == _COMMENT.to_bytes(2, "little") + _TAG:
            if _digest(file, size - _DIGITS) != tail[-_DIGITS:].decode("latin-1"):
                raise _refusal(path, "is damaged: its checksum is not that of its content")
            return
    if not is_zipfile(path):
        raise _refusal(path, "is no training state, or it is torn")
    try:
        with ZipFile(path) as archive:
            broken = archive.testzip() or (archive.comment and "its end")
    except Exception:  # changed sizes and names may break the reader anywhere
        broken = "its list of parts"
    if broken:
        raise _refusal(path, f"is damaged: {broken} is not what was written")


def _digest(file: IO[bytes], size: int) -> str:
    """The SHA-256 of a file's first bytes."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, _BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def _refusal(path: Path, reason: str) -> ValueError:
    """The error of a file that is not loaded, with what else there is to resume from."""
    others = sorted(p.name for p in path.parent.glob("*.ckpt") if p.name != path.name)
    remedy = f"resume from another one (beside it: {', '.join(others[-3:])})" if others else ""
    remedy = remedy or "take the path of another one"
    return ValueError(f"{path} {reason}; {remedy}, or leave ckpt_path out to start again")
