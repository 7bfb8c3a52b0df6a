"""Whether tensors fit a module: every key, every shape, every kind of number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from zoo.system.errors import printable

if TYPE_CHECKING:
    from torch import Tensor

MOST = 5  # names that a message shows of each kind
_LONGEST = 200  # characters of a name in a message


def name_list(names: Iterable[str], most: int = MOST) -> str:
    """The first names in quotes, and how many more there are."""
    ordered = sorted(names)
    first = ", ".join(f"'{_printable(name)}'" for name in ordered[:most])
    return first if len(ordered) <= most else f"{first} and {len(ordered) - most} more"


def _printable(name: str) -> str:
    """A name in one line of bounded length: a stranger's may hold anything."""
    shown = printable(name)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def check_fit(ours: Mapping[str, Tensor], stored: Mapping[str, Tensor], what: str = "") -> None:
    """Refuses tensors that cannot be copied into a module's.

    Args:
        ours: the module's state dict.
        stored: the tensors that are to be copied.
        what: begins the message: the file, or what is converted; empty where the caller adds it.

    Raises:
        ValueError: keys are missing, surplus, wrongly shaped or of a wrong kind; up to 5 of each
            are named.
    """
    shapes = ({key: tensor.shape for key, tensor in state.items()} for state in (ours, stored))
    wrong = wrong_shapes(*shapes)
    for key in ours.keys() & stored.keys():
        if ours[key].shape == stored[key].shape and _kind(ours[key]) != _kind(stored[key]):
            wrong.append(f"'{_printable(key)}' is {stored[key].dtype}, not {ours[key].dtype}")
    refuse_misfits(ours.keys() - stored.keys(), stored.keys() - ours.keys(), wrong, what)


def wrong_shapes(
    ours: Mapping[str, Sequence[int]], stored: Mapping[str, Sequence[int]]
) -> list[str]:
    """A line for each key of both whose shapes differ."""
    return [
        f"'{_printable(key)}' is {tuple(stored[key])}, not {tuple(ours[key])}"
        for key in ours.keys() & stored.keys()
        if tuple(ours[key]) != tuple(stored[key])
    ]


def check_finite(tensors: Mapping[str, Tensor], what: str = "") -> None:
    """Refuses weights that no model can compute with.

    Raises:
        ValueError: numbers are NaN or infinite; up to 5 tensors are named.
    """
    broken = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
    if broken:
        message = f"weights that are NaN or infinite: {name_list(broken)}"
        raise ValueError(f"{what}: {message}" if what else message)


def _kind(tensor: Tensor) -> str:
    """The kind of a tensor's numbers, within which they convert: eight-bit floats are another."""
    if tensor.is_floating_point():
        return "float" if tensor.element_size() > 1 else str(tensor.dtype)
    if tensor.is_complex():
        return "complex"
    return "bool" if str(tensor.dtype) == "torch.bool" else "integer"


def refuse_misfits(
    missing: Iterable[str], surplus: Iterable[str], wrong: list[str], what: str
) -> None:
    """Raises ValueError where keys are missing or surplus, or lines say what is wrong."""
    absent = {"missing": list(missing), "surplus": list(surplus)}
    problems = [f"{kind} {name_list(keys)}" for kind, keys in absent.items() if keys]
    problems += sorted(wrong)[:MOST]
    problems += [f"{len(wrong) - MOST} more are wrongly shaped"] if len(wrong) > MOST else []
    if problems:
        message = f"the weights do not fit the config: {'; '.join(problems)}"
        raise ValueError(f"{what}: {message}" if what else message)
