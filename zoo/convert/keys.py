"""Published weights under our names: tables of names, and loading that misses and adds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

Layers = Mapping[str, str | Sequence[str]]
"""Our layer to their layer, or to several whose rows ours joins in this order."""

Table = dict[str, list[str]]
"""Our key to their keys, whose tensors ours joins by rows."""

MOST = 5  # keys that a message names of each kind


def below(ours: str, theirs: str, layers: Layers) -> dict[str, str | Sequence[str]]:
    """A table of layers with both sides' prefixes in front.

    >>> below("mid.blocks.0", "middle_block.0", {"conv1": "in_layers.2"})
    {'mid.blocks.0.conv1': 'middle_block.0.in_layers.2'}
    """
    return {
        f"{ours}.{our}": f"{theirs}.{their}"
        if isinstance(their, str)
        else [f"{theirs}.{part}" for part in their]
        for our, their in layers.items()
    }


def table(module: nn.Module, layers: Layers) -> Table:
    """The keys of ``module`` (weights and biases) that ``layers`` say where to find.

    Keys of layers that the table does not name are left out: ``load`` will miss them.
    """
    found: Table = {}
    for key in module.state_dict(keep_vars=True):
        layer, _, kind = key.rpartition(".")
        if layer in layers:
            their = layers[layer]
            names = [their] if isinstance(their, str) else their
            found[key] = [f"{name}.{kind}" for name in names]
    return found


def translate(
    module: nn.Module, state: Mapping[str, Tensor], names: Table, what: str
) -> dict[str, Tensor]:
    """Their weights under our keys and in our shapes; the trailing sides of 1x1 kernels go.

    Args:
        module: for its shapes; may lie on the meta device.
        state: their keys and tensors, all of which must be used.
        names: our keys to theirs.
        what: begins the message: the file, or what is converted.

    Raises:
        ValueError: keys are missing, surplus or wrongly shaped; they are named as in the file.
    """
    wanted, ours = {their for parts in names.values() for their in parts}, module.state_dict()
    problems = [
        *_problem("missing", [key for key in wanted if key not in state]),
        *_problem("surplus", [key for key in state if key not in wanted]),
    ]
    found, wrong = {}, []
    for key, parts in names.items():
        rows, *sides = ours[key].shape
        shape = (rows // len(parts), *sides)
        for their in parts:
            if their in state and _squeezed(state[their].shape) != _squeezed(shape):
                wrong.append(f"'{their}' is {tuple(state[their].shape)}, not {tuple(shape)}")
        if not problems and not wrong:
            found[key] = torch.cat([state[their].reshape(shape) for their in parts])
    problems += _wrong(wrong)
    if problems:
        raise ValueError(f"{what}: the weights do not fit the config: {'; '.join(problems)}")
    return found


def load(module: nn.Module, state: Mapping[str, Tensor], name: str) -> nn.Module:
    """Copies ``state`` (our keys) into ``module``, which is given back in evaluation mode.

    Args:
        module: where every key has its place.
        state: exactly the keys of ``module.state_dict()``; of any floating dtype.
        name: begins the message: the file, or what is converted.

    Raises:
        ValueError: keys are missing, surplus, wrongly shaped or of a wrong kind; up to 5 of each
            are named.
    """
    ours = module.state_dict()
    wrong = []
    for key in ours.keys() & state.keys():
        asked, got = ours[key], state[key]
        if asked.shape != got.shape:
            wrong.append(f"'{key}' is {tuple(got.shape)}, not {tuple(asked.shape)}")
        elif asked.is_floating_point() != got.is_floating_point():
            wrong.append(f"'{key}' is {got.dtype}, not {asked.dtype}")
    problems = [
        *_problem("missing", [key for key in ours if key not in state]),
        *_problem("surplus", [key for key in state if key not in ours]),
        *_wrong(wrong),
    ]
    if problems:
        raise ValueError(f"{name}: the weights do not fit the config: {'; '.join(problems)}")
    module.load_state_dict(dict(state))
    return module.eval()


def fill(
    module: nn.Module,
    state: Mapping[str, Tensor],
    layers: Layers,
    name: str,
    arrange: Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]] | None = None,
) -> None:
    """Translates their weights by a table of layers and loads them; see ``translate``, ``load``.

    Args:
        module: where they go.
        state: their keys and tensors, all of which must be used.
        layers: our layers to theirs.
        name: begins the message: the file, or what is converted.
        arrange: changes the order of rows, under our keys.
    """
    found = translate(module, state, table(module, layers), name)
    load(module, found if arrange is None else arrange(module, found), name)


def without(
    state: Mapping[str, Tensor], prefix: str, drop: Iterable[str] = ()
) -> dict[str, Tensor]:
    """What lies below a prefix, without it; keys that start with one of ``drop`` are left out."""
    left = tuple(drop)
    found = {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
    return {key: v for key, v in found.items() if not key.startswith(left)}


def listed(keys: Iterable[str], most: int = MOST) -> str:
    """The first keys in quotes, and how many more there are."""
    names = sorted(keys)
    shown = ", ".join(f"'{key}'" for key in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _problem(kind: str, keys: list[str]) -> list[str]:
    return [f"{kind} {listed(keys)}"] if keys else []


def _wrong(lines: list[str]) -> list[str]:
    more = [f"{len(lines) - MOST} more are wrongly shaped"] if len(lines) > MOST else []
    return sorted(lines)[:MOST] + more


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    sides = list(shape)
    while len(sides) > 2 and sides[-1] == 1:
        sides.pop()
    return tuple(sides)
