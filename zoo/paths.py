"""The folders of configs, shipped weights, the cache and the user's data."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

SAMPLES = "samples.json"
"""The file that says how the images beside it were made, where `zoo sample` made them."""


def configs() -> Path:
    """The folder of the hydra configs: inside the package in a wheel, beside it in a checkout."""
    return _folder("configs")


def checkpoints() -> Path:
    """The folder of the small weights that ship, found as ``configs`` are."""
    return _folder("checkpoints")


def cache() -> Path:
    """The folder of downloads: ``ZOO_CACHE``, or ``~/.cache/diffusion-zoo``; it may be missing."""
    folder = os.environ.get("ZOO_CACHE")
    return Path(folder).expanduser() if folder else Path.home() / ".cache" / "diffusion-zoo"


def evaluations() -> Path:
    """The cache's folder of evaluations, which ``zoo cache`` lists; it may be missing."""
    return cache() / "evaluations"


def check_cache_place(place: str) -> str:
    """Passes "auto", "off" and a path; a word alone is more likely a slip.

    Raises:
        ValueError: it is another word.
    """
    if place not in ("auto", "off", "false") and "/" not in place:
        raise ValueError(f"auto, off, or the path of a folder with a / in it, got '{place}'")
    return place


def data_root() -> Path | None:
    """The user's folder of data sets, ``ZOO_DATA``, or None where it is not set."""
    folder = os.environ.get("ZOO_DATA")
    return Path(folder).expanduser() if folder else None


def data(name: str, what: str, exists: Callable[[Path], bool]) -> Path:
    """The user's data by a path, also under ``ZOO_DATA``; ``what`` they are, for the message.

    Raises:
        ValueError: neither exists.
    """
    candidates, root = _candidates(name), data_root()
    for candidate in candidates:
        if exists(candidate):
            return candidate
    raise ValueError(
        f"no such {what}: looked for {' and '.join(map(str, candidates))}; "
        f"ZOO_DATA is {'not set' if root is None else root}"
    )


def is_address(name: str) -> bool:
    """Whether a name is an address such as s3://bucket/shards.tar rather than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)", name) is not None


def braces(pattern: str) -> list[str]:
    """The names that a pattern with braces stands for, the first brace varying slowest.

    >>> braces("s3://b/{009..010}.tar"), braces("{a,b}/{0..1}"), braces("plain")
    (['s3://b/009.tar', 's3://b/010.tar'], ['a/0', 'a/1', 'b/0', 'b/1'], ['plain'])
    """
    match = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", pattern)
    if match is None:
        return [pattern]
    first, last, words = match.groups()
    middles = words.split(",") if words is not None else []
    if words is None:
        width = len(first) if first[0] == "0" or len(first) == len(last) else 0
        step = 1 if int(first) <= int(last) else -1
        middles = [f"{i:0{width}}" for i in range(int(first), int(last) + step, step)]
    before, after = pattern[: match.start()], braces(pattern[match.end() :])
    return [f"{before}{middle}{rest}" for middle in middles for rest in after]


def resolve(name: str | Path) -> Path:
    """A path as it is, or below ``ZOO_DATA`` where only that exists."""
    candidates = _candidates(name)
    return next(filter(Path.exists, candidates), candidates[0])


def _candidates(name: str | Path) -> list[Path]:
    """Where the user's data may be: here, then under ``ZOO_DATA``."""
    path, root = Path(name).expanduser(), data_root()
    return [path] if path.is_absolute() or root is None else [path, root / path]


def _folder(name: str) -> Path:
    in_wheel, in_checkout = _PACKAGE / name, _PACKAGE.parent / name
    return in_wheel if in_wheel.is_dir() else in_checkout
