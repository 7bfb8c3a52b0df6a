"""The rule of which weights of a checkpoint are taken: averages where there are any.

Training keeps an exponential moving average of the weights beside the last ones, and figures are
those of the average. Tools keep it under names that differ, but that say so; ``weights`` chooses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from zoo.checkpoint.fit import name_list
from zoo.convert.weights import mangled
from zoo.convert.weights.prefixes import without_prefixes, without_wrappers
from zoo.convert.weights.state import COUNTERS, Weights, check_tensors, is_state

CHOICES = ("ema", "raw")
_MAIN = (  # names of the last weights, the first that is there before others
    "", "state_dict", "model_state_dict", "current_model_state", "model", "unet", "net", "network",
    "denoiser", "params", "module", "unet_state_dict", "weights", "generator",
)  # fmt: skip
_NO_WEIGHTS = re.compile(r"optim|^opt$|sched|scaler|^loss|discriminator|backup|collected", re.I)
_NOT_AVERAGED = re.compile(r"(?<![a-z])non?[_-]?ema", re.I)
_AVERAGED = re.compile(
    r"(?<![A-Za-z])(ema|swa)(?![a-z])|EMA|SWA|Ema(?![a-z])|ema_?only|[Aa]verag|[Ss]hadow"
)
_DEPTH = 4
_ASK = "weights=raw takes the last ones"


class _Entry(NamedTuple):
    """A state dict in a checkpoint.

    Attributes:
        path: its names in the checkpoint, with dots.
        averaged: whether it holds averages.
        state: gives the state; for averages in a list, by the names of the last weights.
        prefixes: those that are already off.
    """

    path: str
    averaged: bool
    state: Callable[[Mapping[str, Tensor] | None], Mapping[str, Tensor]]
    prefixes: Sequence[str] = ()


def is_averaged(name: str) -> bool:
    """Whether a name says that averages are under it.

    >>> [is_averaged(name) for name in ("ema_0.9999_250000", "schema", "unet_ema", "non_ema")]
    [True, False, True, False]
    """
    return bool(_AVERAGED.search(name)) and not _NOT_AVERAGED.search(name)


def choose(content: object, weights: str | None, what: str, name: str = "") -> Weights:
    """The state dict that a checkpoint is read for, without the prefixes of training tools.

    Args:
        content: the checkpoint: a state dict, or containers with state dicts in them.
        weights: "ema", "raw" (the last ones), or the path of an entry such as "ema_0.9999"; None
            takes the averages where there are any.
        what: begins a message: the file, or what is converted.
        name: the file's name, which may say that its weights are averages.

    Raises:
        ValueError: there are no such weights, several that could be meant, or averages that are not
            those of the weights beside them.
    """
    if isinstance(content, Weights):
        if weights not in (None, content.choice):
            raise ValueError(
                f"{what}: these are {content.origin['weights']}: give weights={weights} to "
                "zoo.convert.read, which took them from the file"
            )
        return content
    entries = [
        entry
        for entry in _entries(content, "")
        if entry.averaged or not entry.path.startswith("callbacks.")
    ]
    if not entries:
        raise ValueError(f"{what}: no weights found; it holds {_names(content)}")
    if is_averaged(name) and not any(entry.averaged for entry in entries):
        entries = [entry._replace(averaged=True) for entry in entries]
    averages = [entry for entry in entries if entry.averaged]
    last = [entry for entry in entries if not entry.averaged]
    entry = _chosen(weights, averages, last, what)
    state, prefixes = _complete(entry, last, what)
    check_tensors(state, what)
    origin = {"weights": _description(entry, bool(averages), name)}
    if prefixes:
        origin["prefixes"] = " ".join(dict.fromkeys(prefixes))
    return Weights(state, "ema" if entry.averaged else "raw", origin)


def _chosen(weights: str | None, averages: list[_Entry], last: list[_Entry], what: str) -> _Entry:
    """The entry that is asked for."""
    if weights not in (None, *CHOICES):
        for entry in (*averages, *last):
            if entry.path == weights:
                return entry
        paths = [entry.path for entry in (*averages, *last) if entry.path]
        raise ValueError(
            f"{what}: there is no weights={weights}: possible are {', '.join((*CHOICES, *paths))}"
        )
    if weights == "ema" and not averages:
        raise ValueError(f"{what}: weights=ema, but the checkpoint has no averages: {_ASK}")
    if weights == "raw" and not last:
        raise ValueError(f"{what}: weights=raw, but the checkpoint has averages alone")
    if weights != "raw" and averages:
        return _main(averages, what)
    return _main(last, what)


def _main(entries: list[_Entry], what: str) -> _Entry:
    """The only entry, or that under the most usual name."""
    if len(entries) == 1:
        return entries[0]
    for name in _MAIN:
        for entry in entries:
            if not entry.averaged and entry.path == name:
                return entry
    paths = ", ".join(entry.path for entry in entries)
    raise ValueError(f"{what}: several weights could be meant: choose weights=NAME of {paths}")


def _complete(entry: _Entry, last: list[_Entry], what: str) -> tuple[dict[str, Tensor], list[str]]:
    """The entry's state, compared with the last weights where it holds averages of them."""
    if not entry.averaged:
        return _bare(entry)
    beside = _bare(_main(last, what))[0] if last else None
    try:
        state, prefixes = _bare(entry, beside)
    except ValueError as error:
        raise ValueError(f"{what}: {error}; {_ASK}") from None
    if beside is None or not state.keys() & beside.keys():
        return state, prefixes
    # averages of parameters alone: what counts (batches, positions) is the last weights' own
    own = {key: value for key, value in beside.items() if not value.is_floating_point()}
    state = own | state
    if missing := beside.keys() - state.keys():
        raise ValueError(f"{what}: the averages ({entry.path}) lack {name_list(missing)}; {_ASK}")
    return state, prefixes


def _bare(
    entry: _Entry, last: Mapping[str, Tensor] | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """An entry's state without prefixes, and all that were taken off."""
    state, prefixes = without_prefixes(entry.state(last))
    return state, [*entry.prefixes, *prefixes]


def _description(entry: _Entry, averages: bool, name: str) -> str:
    if entry.averaged:
        return f"the averages ({entry.path or f'of the file {name}'})"
    if averages:
        return f"the last ones ({entry.path or 'not the averages'}), not the averages"
    return "as in the file, which has no averages"


def _entries(content: object, path: str, averaged: bool = False) -> Iterator[_Entry]:
    """Every state dict in a checkpoint."""
    if is_state(content):
        yield from _groups(content, path, averaged)
    elif _is_list(content):
        if averaged:
            yield _Entry(path, True, lambda last: _named(content, last))
    elif path.count(".") < _DEPTH:
        for key, value in _items(content):
            swapped = key == "state_dict" and _is_swapped(content)
            below = averaged or swapped or is_averaged(key)
            yield from _entries(value, f"{path}.{key}".lstrip("."), below)


def _items(content: object) -> Iterator[tuple[str, object]]:
    """The entries of a container in which weights may lie."""
    if isinstance(content, list | tuple) and content and is_state(content[0]):
        yield "model", content[0]  # ermongroup/ddim: [model, optimizer, epoch, step, averages]
        if len(content) > 1 and is_state(content[-1]):
            yield "ema", content[-1]
    elif isinstance(content, Mapping):
        for key, value in content.items():
            if isinstance(key, str) and not _NO_WEIGHTS.search(key):
                yield key, value


def _is_swapped(content: object) -> bool:
    """Whether Lightning's WeightAveraging wrote it: averages in the place of the weights."""
    return isinstance(content, Mapping) and "current_model_state" in content


def _groups(content: Mapping[str, Tensor], path: str, averaged: bool) -> Iterator[_Entry]:
    """The entries of a flat state: averages have a prefix of their own, or there are none."""
    counted = "n_averaged" in content  # torch's AveragedModel
    state = {key: value for key, value in content.items() if key not in COUNTERS}
    state, prefixes = without_wrappers(state)
    if mangled.has_averages(state):
        place = f"{path}.model_ema".lstrip(".")
        yield _Entry(place, True, lambda _: mangled.averages(state), prefixes)
        yield _Entry(path, averaged, lambda _: mangled.last(state), prefixes)
        return
    firsts = {key.partition(".")[0] for key in state if "." in key}
    marked = sorted(first for first in firsts if is_averaged(first))
    for first in marked:
        below = {k.removeprefix(f"{first}."): v for k, v in state.items() if _first(k) == first}
        place = f"{path}.{first}".lstrip(".")
        yield _Entry(place, True, lambda _, below=below: below, [*prefixes, f"{first}."])  # type: ignore[misc]
    rest = {key: value for key, value in state.items() if _first(key) not in marked}
    if rest:
        yield _Entry(path, (averaged or counted) and not marked, lambda _: rest, prefixes)


def _first(key: str) -> str:
    return key.partition(".")[0]


def _is_list(content: object) -> bool:
    return (
        isinstance(content, list | tuple)
        and bool(content)
        and all(isinstance(value, Tensor) for value in content)
    )


def _named(content: object, last: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Averages in a list, in the order of the parameters that they are averages of."""
    assert isinstance(content, Sequence)
    if last is None:
        raise ValueError("the averages are a list without names, and there are no weights beside")
    names = [name for name, value in last.items() if value.is_floating_point()]
    shapes = [last[name].shape for name in names]
    if [value.shape for value in content] != shapes:
        raise ValueError(
            f"the averages are a list of {len(content)} tensors, which are not those of the "
            f"{len(names)} weights beside it in order and shape"
        )
    return dict(zip(names, content, strict=True))


def _names(content: object) -> str:
    if not isinstance(content, Mapping):
        return "no dict"
    return name_list(map(str, content)) or "no keys at all"
