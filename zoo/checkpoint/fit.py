"""Whether tensors fit a module: every key, every shape, every kind of number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MOST = 5  # names that a message shows of each kind


def name_list(names: Iterable[str], most: int = MOST) -> str:
    """The first names in quotes, and how many more there are."""
    ordered = sorted(names)
    first = ", ".join(f"'{name}'" for name in ordered[:most])
    return first if len(ordered) <= most else f"{first} and {len(ordered) - most} more"


def check_fit(ours: Mapping[str, Tensor], stored: Mapping[str, Tensor], what: str) -> None:
    """Refuses tensors that cannot be copied into a module's.

    Args:
        ours: the module's state dict.
        stored: the tensors that are to be copied.
        what: begins the message: the file, or what is converted.

    Raises:
        ValueError: keys are missing, surplus, wrongly shaped or of a wrong kind; up to 5 of each
            are named.
    """
    wrong = []
    for key in ours.keys() & stored.keys():
        own, new = ours[key], stored[key]
        if own.shape != new.shape:
            wrong.append(f"'{key}' is {tuple(new.shape)}, not {tuple(own.shape)}")
        elif own.is_floating_point() != new.is_floating_point():
            wrong.append(f"'{key}' is {new.dtype}, not {own.dtype}")
    refuse_misfits(ours.keys() - stored.keys(), stored.keys() - ours.keys(), wrong, what)


def refuse_misfits(
    missing: Iterable[str], surplus: Iterable[str], wrong: list[str], what: str
) -> None:
    """Raises ValueError where keys are missing or surplus, or lines say what is wrong."""
    absent = {"missing": list(missing), "surplus": list(surplus)}
    problems = [f"{kind} {name_list(keys)}" for kind, keys in absent.items() if keys]
    problems += sorted(wrong)[:MOST]
    problems += [f"{len(wrong) - MOST} more are wrongly shaped"] if len(wrong) > MOST else []
    if problems:
        raise ValueError(f"{what}: the weights do not fit the config: {'; '.join(problems)}")
