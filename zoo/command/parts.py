"""The parts of a saved model that a command line exchanges, or gives other settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from hydra.utils import instantiate

from zoo.checkpoint.build import build
from zoo.checkpoint.file import load
from zoo.checkpoint.published import checkpoint_file
from zoo.guidance import num_classes
from zoo.part import config_of

_NETWORKS = ("classifier", "weak")  # arguments of a guidance that are given as a file


def exchanged(own: Any, asked: dict[str, Any] | None, group: str, trust: Sequence[str] = ()) -> Any:
    """The part that ``asked`` names, or the model's own with some of its arguments changed.

    A guidance's other network is named by its file, which is loaded as any model's is.

    Raises:
        ValueError: the part has no such argument, or its network's file cannot be loaded.
    """
    changes = {key: value for key, value in (asked or {}).items() if value is not None}
    if "_target_" in changes:
        return _instantiated(changes, group, trust)
    own_config = config_of(own)
    if unknown := sorted(changes.keys() - own_config.keys()):
        takes = ", ".join(key for key in own_config if key != "_target_") or "nothing"
        raise ValueError(
            f"{group}.{unknown[0]}: the model's own {group} is {type(own).__name__}, which takes "
            f"{takes}; choose another with {group}=NAME"
        )
    return build({**own_config, **changes}, trust) if changes else own


def _instantiated(config: dict[str, Any], where: str, trust: Sequence[str]) -> Any:
    """What a config of the command line describes, with networks loaded from the files it names."""
    objects: dict[str, Any] = {}
    for key, value in config.items():
        if key in _NETWORKS and value == "???":
            raise ValueError(f"{where}.{key} is missing: give {where}.{key}=FILE of a saved model")
        if key in _NETWORKS and isinstance(value, str):
            objects[key] = load(checkpoint_file(value), trust)
        elif (
            key == "guidance" and isinstance(value, dict) and "_target_" in value
        ):  # one inside another
            objects[key] = _instantiated(value, f"{where}.{key}", trust)
    plain = {key: value for key, value in config.items() if key not in objects}
    try:
        return instantiate(plain, **objects, _convert_="all")
    except Exception as error:  # hydra wraps what a constructor says, together with its arguments
        if objects and isinstance(error.__cause__, ValueError):
            raise error.__cause__ from error
        raise


def repeated(
    condition: Any, num_images: int, module: Any, guidance: Any = None, what: str = "condition"
) -> Any:
    """One condition per image: those given in turn, or None.

    Args:
        condition: labels, captions, one of them, or None.
        num_images: how many.
        module: the model that reads them.
        guidance: which reads labels where the model knows none.
        what: the option's name, for messages.

    Raises:
        ValueError: the model does not know a label.
    """
    if condition is None:
        return None
    given = list(condition) if isinstance(condition, list | tuple) else [condition]
    cycled = [given[index % len(given)] for index in range(num_images)]
    if all(isinstance(label, int) for label in given):
        classes = getattr(module.conditioner, "num_classes", None) or num_classes(guidance)
        if classes is None:
            raise ValueError(f"{what}={condition}: this model has no class labels")
        if wrong := [label for label in given if not 0 <= label < classes]:
            raise ValueError(f"{what}={wrong}: labels of this model are 0 to {classes - 1}")
        return torch.tensor(cycled)
    return [str(caption) for caption in cycled]
