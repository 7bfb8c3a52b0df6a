"""Published weights that metrics need: which file, its sha256, its address, where it may lie.

Addresses and hashes come from the sources that stand beside them; what no source says is
``UNKNOWN``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from zoo import paths
from zoo.checkpoint import replacing
from zoo.checkpoint import sha256 as sha256_of

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Weights:
    """One published file.

    Attributes:
        name: what extractors call it.
        file: its name in the zoo's cache.
        sha256: of its content, 64 hexadecimal digits, or ``UNKNOWN``.
        address: where it is published.
        source: what says so.
        sha256_source: what says its sha256, or ``UNKNOWN``.
        elsewhere: other places, relative to the home folder or absolute, where tools keep it.
    """

    name: str
    file: str
    sha256: str
    address: str
    source: str
    sha256_source: str = UNKNOWN
    elsewhere: tuple[str, ...] = ()


_HUB = ".cache/huggingface/hub/models--{}/snapshots/{}/open_clip_model.safetensors"

KNOWN_WEIGHTS: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            name="inception",
            file="weights-inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            address="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            source="URL_INCEPTION_V3 in torch_fidelity/feature_extractor_inceptionv3.py of "
            "torch-fidelity 0.4.0",
            # The eight digits in the name are a prefix of it, as torch.hub names files.
            sha256_source="_MODEL_URL_SHA256 in models/inception_model.py of "
            "github.com/snap-research/discoscene at 3b15039, for pytorch-fid's file of that name",
            elsewhere=(
                ".cache/torch/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth",
                ".cache/torch/hub/checkpoints/pt_inception-2015-12-05-6726825d.pth",
            ),
        ),
        Weights(
            name="ViT-B-32/laion2b_s34b_b79k",
            file="ViT-B-32-laion2b_s34b_b79k.safetensors",
            sha256="ac4f8c4b88af6d963118cbf40ad93176d092abbedfcb752601ae1866352656e6",
            address="https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/"
            "1a25a446712ba5ee05982a381eed697ef9b435cf/open_clip_model.safetensors",
            source="_VITB32 in open_clip/pretrained.py of open_clip_torch 3.3.0 (the repository)",
            sha256_source="OPENCLIP_MODEL_SHA256 (and revision) in src/dsvire/visual_adapters.py "
            "of github.com/TokitoAI/tokito-dsvire at ab8a116",
            elsewhere=(
                _HUB.format(
                    "laion--CLIP-ViT-B-32-laion2B-s34B-b79K",
                    "1a25a446712ba5ee05982a381eed697ef9b435cf",
                ),
            ),
        ),
        Weights(
            name="ViT-B-32/openai",
            file="ViT-B-32-openai.safetensors",
            sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
            address="https://huggingface.co/timm/vit_base_patch32_clip_224.openai/resolve/"
            "a6f597a30f7b82c51704746581f9a4e41421e878/open_clip_model.safetensors",
            source="_VITB32 in open_clip/pretrained.py of open_clip_torch 3.3.0 (the repository)",
            sha256_source="SHA256 (and REVISION) in scripts/fetch_weights.py of "
            "github.com/nilubhatt/campaign-poc at 0cf5b86",
            elsewhere=(
                _HUB.format(
                    "timm--vit_base_patch32_clip_224.openai",
                    "a6f597a30f7b82c51704746581f9a4e41421e878",
                ),
            ),
        ),
    )
}


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
    expected = sha256 or weights.sha256
    if path is not None:
        found: Path | None = Path(path).expanduser()
        if not found.is_file():  # type: ignore[union-attr]
            raise ValueError(f"{path}: no such file; it should be {_described(weights)}")
    else:
        found = next((place for place in _places(weights) if place.is_file()), None)
    if found is None and download:
        found = _download(weights)
    if found is None:
        raise ValueError(
            f"the weights '{name}' are missing: put {_described(weights)} at "
            f"{paths.cache() / weights.file}, or name their path; download=true fetches them from "
            f"{weights.address}"
        )
    _check(found, expected, weights)
    return found


def state(name: str, path: str | Path | None = None) -> str:
    """``"present (PATH)"``, ``"missing"``, or ``"wrong: ..."``, for ``zoo doctor``.

    The whole file is read, for its sha256.
    """
    weights = _known(name)
    places = [Path(path).expanduser()] if path is not None else _places(weights)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        return "missing"
    try:
        _check(found, weights.sha256, weights)
    except ValueError as error:
        return f"wrong: {error}"
    return f"present ({found})"


def _known(name: str) -> Weights:
    if name not in KNOWN_WEIGHTS:
        raise ValueError(f"no weights called '{name}'; known are {', '.join(KNOWN_WEIGHTS)}")
    return KNOWN_WEIGHTS[name]


def _places(weights: Weights) -> list[Path]:
    import torch

    hub = Path(torch.hub.get_dir()) / "checkpoints"  # follows TORCH_HOME
    home = Path.home()
    elsewhere = [home / place for place in weights.elsewhere]
    return [paths.cache() / weights.file, hub / weights.file, *elsewhere]


def _check(path: Path, expected: str, weights: Weights) -> None:
    prefix = re.search(r"-([0-9a-f]{8,})\.\w+$", weights.file)
    if expected == UNKNOWN and prefix is None:
        return
    wanted = prefix.group(1) if expected == UNKNOWN and prefix else expected
    got = sha256_of(path)
    if not got.startswith(wanted):
        raise ValueError(
            f"{path} has sha256 {got}, but {weights.file} has {wanted}: it is torn or another "
            f"file; remove it and fetch {weights.address}"
        )


def _described(weights: Weights) -> str:
    name = Path(urlparse(weights.address).path).name
    return f"the file {name} (sha256 {weights.sha256})"


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
        _check(part, weights.sha256, weights)
    return target
