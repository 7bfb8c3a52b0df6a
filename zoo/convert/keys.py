"""Published weights under our names: tables of names, and strict loading."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from zoo.checkpoint.fit import check_finite, check_fit, refuse_misfits
from zoo.checkpoint.outline import materialised

Layers = Mapping[str, str | Sequence[str]]
"""Our layer to their layer, or to several whose rows ours joins in this order."""

Table = dict[str, list[str]]
"""Our key to their keys, whose tensors ours joins by rows."""

M = TypeVar("M", bound=nn.Module)


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

    Keys of layers that the table does not name are left out: ``load_state`` will miss them.
    """
    keys: Table = {}
    for key in module.state_dict(keep_vars=True):
        layer, _, kind = key.rpartition(".")
        if layer in layers:
            their = layers[layer]
            names = [their] if isinstance(their, str) else their
            keys[key] = [f"{name}.{kind}" for name in names]
    return keys


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
    ours, theirs = module.state_dict(), {their for parts in names.values() for their in parts}
    tensors, wrong = {}, []
    complete = theirs <= state.keys()
    for key, parts in names.items():
        rows, *sides = ours[key].shape
        shape = (rows // len(parts), *sides)
        for their in parts:
            if their in state and _without_ones(state[their].shape) != _without_ones(shape):
                wrong.append(f"'{their}' is {tuple(state[their].shape)}, not {tuple(shape)}")
        if complete and not wrong:
            tensors[key] = torch.cat([state[their].reshape(shape) for their in parts])
    refuse_misfits(theirs - state.keys(), state.keys() - theirs, wrong, what)
    return tensors


def load_state(module: M, state: Mapping[str, Tensor], what: str) -> M:
    """Copies ``state`` (our keys) into ``module`` and returns it in evaluation mode.

    Args:
        module: where every key has its place; may lie on the meta device.
        state: exactly the keys of ``module.state_dict()``; of any floating dtype.
        what: begins the message: the file, or what is converted.

    Raises:
        ValueError: keys are missing, surplus, wrongly shaped or of a wrong kind; up to 5 of each
            are named.
    """
    check_fit(module.state_dict(), state, what)
    check_finite(state, what)
    materialised(module)
    module.load_state_dict(dict(state))
    return module.eval()


def fill(
    module: M,
    state: Mapping[str, Tensor],
    names: Table,
    what: str,
    arrange: Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]] | None = None,
    own: Iterable[str] = (),
) -> M:
    """Translates their weights and loads them; see ``translate`` and ``load_state``.

    Args:
        module: where they go; may lie on the meta device.
        state: their keys and tensors, all of which must be used.
        names: our keys to theirs.
        what: begins the message: the file, or what is converted.
        arrange: changes the order of rows, under our keys.
        own: our keys that files of this kind lack; they stay as they are, or become zero where the
            module lies on the meta device.
    """
    tensors = translate(module, state, names, what)
    if arrange is not None:
        tensors = arrange(module, tensors)
    ours = module.state_dict()
    kept = {key: ours[key] for key in own}
    kept = {key: torch.zeros_like(t, device="cpu") if t.is_meta else t for key, t in kept.items()}
    return load_state(module, tensors | kept, what)


def rename(name: str, rules: Iterable[tuple[str, str]]) -> str:
    """A name after all rules, pattern and replacement, in their order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def without(
    state: Mapping[str, Tensor], prefix: str, drop: Iterable[str] = ()
) -> dict[str, Tensor]:
    """The tensors below a prefix, without it; keys that start with one of ``drop`` are left out."""
    part = {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
    return {key: v for key, v in part.items() if not key.startswith(tuple(drop))}


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    sides = list(shape)
    while len(sides) > 2 and sides[-1] == 1:
        sides.pop()
    return tuple(sides)
