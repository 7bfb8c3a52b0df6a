"""Where the published weights of extractors lie, and whether they are whole and the right ones."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse

from eval.extractor.known_weights import KNOWN_WEIGHTS as KNOWN_WEIGHTS
from eval.extractor.known_weights import UNKNOWN as UNKNOWN
from eval.extractor.known_weights import Weights as Weights
from zoo import paths
from zoo.checkpoint import sha256 as sha256_of
from zoo.checkpoint.header import read_header
from zoo.system.files import replacing

_HUB = ".cache/huggingface/hub/"


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
        download: fetch it into the cache if it is nowhere.

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
    found = _lying(weights)
    if found is None and download:
        found = _download(weights), weights
    if found is None:
        raise ValueError(
            f"the weights '{name}' are missing: put {_described(weights)} at "
            f"{paths.cache() / weights.file}, or name their path; download=true fetches them from "
            f"{weights.address}"
        )
    _check(found[0], (found[1],), sha256)
    return found[0]


def own(path: str | Path, sha256: str | None = None) -> Path:
    """A file that no table knows, whole and of the sha256 that is expected of it, if any is.

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
    if path is not None:
        own = Path(path).expanduser()
        place, accepted = (own if own.is_file() else None), (weights, *weights.also)
    else:
        found = _lying(weights)
        place, accepted = found if found is None else found[0], (found[1],) if found else ()
    if place is None:
        return "missing"
    try:
        _check(place, accepted, None)
    except ValueError as error:
        return f"wrong: {error}"
    return f"present ({place})"


def digest(path: str | Path) -> str:
    """sha256 of a file, read once while it does not change: gigabytes take seconds."""
    facts = Path(path).stat()
    return _digest(str(path), facts.st_size, facts.st_mtime_ns)


def check_whole(path: str | Path) -> None:
    """Refuses a safetensors file that ends before, or after, what its header announces.

    Files of other kinds are not looked at: reading them tells.

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


def _lying(weights: Weights) -> tuple[Path, Weights] | None:
    """The first file that is there, with what it should be."""
    for one in (weights, *weights.also):
        for place in _places(one):
            if place.is_file():
                return place, one
    return None


def _places(weights: Weights) -> list[Path]:
    import torch
    from huggingface_hub import constants

    hub = Path(torch.hub.get_dir()) / "checkpoints"  # follows TORCH_HOME
    hugging = Path(constants.HF_HUB_CACHE)  # follows HF_HOME
    found = [paths.cache() / weights.file, hub / weights.file]
    for place in weights.elsewhere:
        if place.startswith(_HUB):
            found.append(hugging / place.removeprefix(_HUB))
        found.append(Path.home() / place)
    return found


def _check(path: Path, accepted: Sequence[Weights], sha256: str | None) -> None:
    wanted = {one.file: sha256 or _expected(one) for one in accepted}
    known = {file: digits for file, digits in wanted.items() if digits}
    if known and not any(digest(path).startswith(digits) for digits in known.values()):
        files = " and ".join(f"{file} has {digits}" for file, digits in known.items())
        raise ValueError(
            f"{path} has sha256 {digest(path)}, but {files}: it is torn or another file; remove it "
            f"and fetch {accepted[0].address}"
        )
    check_whole(path)


def _expected(weights: Weights) -> str:
    """sha256, or the digits of it that torch.hub puts into a name, or nothing."""
    if weights.sha256 != UNKNOWN:
        return weights.sha256
    prefix = re.search(r"-([0-9a-f]{8,})\.\w+$", weights.file)
    return prefix.group(1) if prefix else ""


def _described(weights: Weights) -> str:
    def one(file: Weights) -> str:
        return f"{Path(urlparse(file.address).path).name} (sha256 {file.sha256})"

    return "the file " + " or ".join(one(file) for file in (weights, *weights.also))


def _download(weights: Weights) -> Path:
    """Fetches into the cache; the file appears there only when it is whole and the right one."""
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
