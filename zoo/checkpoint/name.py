"""What a model's file is called: after its run, so that two runs have two names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

MODEL_FILE = "model.safetensors"
"""The file of a finished run, in its folder."""

_AVERAGE = re.compile(r"model-ema-(.+)\.safetensors")
_SUFFIXES = (".safetensors", ".npz", ".zip", ".parquet")
_GENERIC = re.compile(r"\d+|seed-\d+|images|samples")  # which says nothing without its folder


def average_name(number: str) -> str:
    """The file of another average of a run's weights than the model's own.

    >>> average_name("0.999")
    'model-ema-0.999.safetensors'
    """
    return f"model-ema-{number}.safetensors"


def is_average(path: Path) -> bool:
    """Whether a file is called as another average of a run's weights."""
    return _AVERAGE.fullmatch(path.name) is not None


def run_name(path: str | Path) -> str:
    """The name of a saved model, a run's folder, or stored images.

    >>> run_name("runs/cosine/model.safetensors"), run_name("digits/ddpm"), run_name("real.npz")
    ('cosine', 'ddpm', 'real')
    >>> run_name("runs/multirun/0"), run_name("runs/compare-digits/ddpm/seed-1/model.safetensors")
    ('multirun-0', 'ddpm-seed-1')
    >>> run_name("runs/cosine/model-ema-0.999.safetensors")
    'cosine-ema-0.999'
    """
    place = Path(path).expanduser()
    if average := _AVERAGE.fullmatch(place.name):
        return f"{run_name(place.with_name(MODEL_FILE))}-ema-{average[1]}"
    if place.name == MODEL_FILE:
        place = place.absolute().parent
    name = place.stem if place.suffix.lower() in _SUFFIXES else place.name
    if name and not _GENERIC.fullmatch(name):
        return name
    place = place.absolute()
    return "-".join(part for part in (place.parent.name, name or place.name) if part)


def run_names(files: Iterable[Path]) -> list[str]:
    """A name for each of different files; folders are put before it until no two are alike.

    >>> run_names([Path("/a/x/model.safetensors"), Path("/b/x/model.safetensors")])
    ['a-x', 'b-x']
    """
    places = [path.absolute() for path in files]
    places = [place.parent if place.name == MODEL_FILE else place for place in places]
    names = [run_name(place) for place in places]
    for depth in range(2, max((len(place.parts) for place in places), default=0) + 1):
        twice = {name for name in names if names.count(name) > 1}
        for index, place in enumerate(places):
            if names[index] in twice:
                ends = [*place.parts[-depth:-1], run_name(place.name)]
                names[index] = "-".join(part.strip("/") for part in ends if part.strip("/"))
    return names


def folder_name(name: str) -> str:
    """A name as that of a folder.

    >>> folder_name("ddpm schedule=cosine, seed 1")
    'ddpm-schedule=cosine-seed-1'
    """
    return re.sub(r"[^\w.=+-]+", "-", name).strip("-") or "-"


def subject_suffix(
    name: object, checkpoint: object, images: object, ema: float | None = None
) -> str:
    """``-NAME`` of what is measured, for the folder of its results; "" where it is several or none.

    Another average of the weights is a part of the name.

    >>> subject_suffix(None, "runs/cosine", None), subject_suffix(None, ["a", "b"], None)
    ('-cosine', '')
    """
    subject = next((s for s in (name, checkpoint, images) if s is not None), None)
    if not isinstance(subject, str) or any(mark in subject for mark in "*?"):
        return ""
    if subject is name:
        return f"-{folder_name(name)}"
    return f"-{folder_name(run_name(subject))}" + ("" if ema is None else f"-ema-{ema}")
