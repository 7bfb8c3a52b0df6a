"""The files of extractors' published weights: where they are, and whether they are sound."""

from __future__ import annotations

import functools
import pickle
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from safetensors import SafetensorError

from eval.extractor.known_weights import KNOWN_WEIGHTS, UNKNOWN, Weights
from zoo import paths
from zoo.checkpoint import sha256 as sha256_of
from zoo.checkpoint.header import read_header
from zoo.system.files import replacing

_UNREADABLE = (RuntimeError, LookupError, EOFError, pickle.UnpicklingError, SafetensorError)


def find(
    name: str,
    path: str | Path | None = None,
    *,
    sha256: str | None = None,
    download: bool = False,
) -> Path:
    """The file of the weights ``name``, its sha256 checked.

    Args:
        name: a key of ``KNOWN_WEIGHTS``.
        path: the file, where it is not in the cache.
        sha256: expected instead of the published one, for weights of your own.
        download: fetch it into the cache if it is missing.

    Raises:
        ValueError: it is missing, torn or another file; the message says what to put where.
    """
    weights = _known(name)
    if path is not None:
        own = Path(path).expanduser()
        if not own.is_file():
            raise ValueError(f"{path}: no such file; it should be {_described(weights)}")
        _check(own, (weights, *weights.also), sha256)
        return own
    place = _first_present(weights)
    if place is None and download:
        place = _download(weights), weights
    if place is None:
        raise ValueError(
            f"the weights '{name}' are missing: put {_described(weights)} at "
            f"{paths.cache() / weights.file}, or name it by extractor.NAME.path=FILE; "
            f"extractor.NAME.download=true fetches it from {weights.address}"
        )
    _check(place[0], (place[1],), sha256)
    return place[0]


@contextmanager
def weights_of(model: str, file: Path) -> Iterator[None]:
    """Within, a file that cannot be read raises a ValueError: it is not weights of this model."""
    try:
        yield
    except _UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{file}: not weights of {model} ({reason})") from error


def own(path: str | Path, sha256: str | None = None) -> Path:
    """A file outside the table of weights, whole and of the expected sha256, if there is one.

    Raises:
        ValueError: it is missing, torn or another file.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"{path}: no such file")
    if sha256 is not None and digest(file) != sha256:
        raise ValueError(f"{file} has sha256 {digest(file)}, expected {sha256}")
    check_whole(file)
    return file


def state(name: str, path: str | Path | None = None) -> str:
    """``"present (PATH)"``, ``"missing"``, or ``"wrong: ..."``, for ``zoo doctor``.

    The whole file is read, for its sha256.
    """
    weights = _known(name)
    file, accepted = None, (weights, *weights.also)
    if path is not None:
        file = Path(path).expanduser()
    elif place := _first_present(weights):
        file, accepted = place[0], place[1:]
    if file is None or not file.is_file():
        return "missing"
    try:
        _check(file, accepted, None)
    except ValueError as error:
        return f"wrong: {error}"
    return f"present ({file})"


def digest(path: str | Path) -> str:
    """sha256 of a file, read again only where it has changed: gigabytes take seconds."""
    facts = Path(path).stat()
    return _digest(str(path), facts.st_size, facts.st_mtime_ns)


def check_whole(path: str | Path) -> None:
    """Refuses a safetensors file that is shorter or longer than its header announces.

    Files of other kinds are not checked here: reading them shows it.

    Raises:
        ValueError: it is torn, or no safetensors file.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        return
    size = path.stat().st_size
    try:
        announced = read_header(path).size
    except ValueError as error:
        raise ValueError(f"{path}: torn, or not a safetensors file: fetch it again") from error
    if size != announced:
        raise ValueError(
            f"{path}: torn: {size:,} bytes where its header announces {announced:,}: fetch it again"
        )


@functools.lru_cache(maxsize=64)
def _digest(path: str, size: int, changed: int) -> str:
    return sha256_of(path)


def _known(name: str) -> Weights:
    if name not in KNOWN_WEIGHTS:
        raise ValueError(f"no weights called '{name}'; known are {', '.join(KNOWN_WEIGHTS)}")
    return KNOWN_WEIGHTS[name]


def _first_present(weights: Weights) -> tuple[Path, Weights] | None:
    """The first file that exists, with what it should be."""
    candidates = ((place, w) for w in (weights, *weights.also) for place in _places(w))
    return next(((place, w) for place, w in candidates if place.is_file()), None)


def _places(weights: Weights) -> list[Path]:
    import torch
    from huggingface_hub import constants

    places = [paths.cache() / weights.file]
    places.append(Path(torch.hub.get_dir()) / "checkpoints" / weights.file)  # follows TORCH_HOME
    if weights.hub_copy is not None:
        hubs = constants.HF_HUB_CACHE, Path.home() / ".cache/huggingface/hub"  # follows HF_HOME
        places += [Path(hub) / weights.hub_copy for hub in hubs]
    return [*places, *(Path.home() / place for place in weights.elsewhere)]


def _check(path: Path, accepted: Sequence[Weights], sha256: str | None) -> None:
    expected = {weights.file: sha256 or _expected(weights) for weights in accepted}
    expected = {file: digits for file, digits in expected.items() if digits}
    if expected and not any(digest(path).startswith(digits) for digits in expected.values()):
        files = " and ".join(f"{file} has {digits}" for file, digits in expected.items())
        raise ValueError(
            f"{path} has sha256 {digest(path)}, but {files}: it is torn or another file; remove it "
            f"and fetch {accepted[0].address}"
        )
    check_whole(path)


def _expected(weights: Weights) -> str:
    """sha256, or the digits of it that torch.hub puts into a name, or ""."""
    if weights.sha256 != UNKNOWN:
        return weights.sha256
    prefix = re.search(r"-([0-9a-f]{8,})\.\w+$", weights.file)
    return prefix.group(1) if prefix else ""


def _described(weights: Weights) -> str:
    return "the file " + " or ".join(
        f"{Path(urlparse(file.address).path).name} (sha256 {file.sha256})"
        for file in (weights, *weights.also)
    )


def _download(weights: Weights) -> Path:
    """Fetches into the cache, where the file appears only once it is whole and the right one."""
    import torch

    target = paths.cache() / weights.file
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        try:
            torch.hub.download_url_to_file(weights.address, str(part))
        except OSError as error:
            raise ValueError(f"{weights.address} could not be fetched: {error}") from error
        _check(part, (weights,), None)
    return target
