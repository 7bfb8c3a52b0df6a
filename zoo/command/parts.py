"""The parts of a saved model that a command line exchanges or changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch

from zoo.checkpoint.build import build
from zoo.checkpoint.file import load
from zoo.checkpoint.published import checkpoint_file
from zoo.command.check import written
from zoo.generation import Model
from zoo.guidance import Guidance, num_classes
from zoo.part import Part, config_of
from zoo.records import Raw

P = TypeVar("P", bound=Part)

_NETWORKS = ("classifier", "weak")  # arguments of a guidance that the command line names by a file


def exchanged(own: P, changes: dict[str, Any] | None, group: str, trust: Sequence[str] = ()) -> P:
    """The part that ``changes`` names, or the model's own with some of its arguments changed.

    A guidance's other network is named by its file, which is loaded as any model's is.

    Args:
        own: the model's.
        changes: arguments, None where they stay, and perhaps ``_target_``.
        group: what the command line calls the part, for messages.
        trust: packages, beside the zoo's own, whose classes a network's file may name.

    Raises:
        ValueError: the part has no such argument, or its network's file cannot be loaded.
    """
    config = {key: value for key, value in (changes or {}).items() if value is not None}
    if not config:
        return own
    if "_target_" not in config:
        own_config = config_of(own)
        if unknown := sorted(config.keys() - own_config.keys()):
            takes = ", ".join(key for key in own_config if key != "_target_") or "nothing"
            raise ValueError(
                f"{group}.{unknown[0]}: the model's own {group} is {type(own).__name__}, which "
                f"takes {takes}; choose another with {group}=NAME"
            )
        config = {**own_config, **config}
    return _part(config, group, trust)


def _part(config: dict[str, Any], where: str, trust: Sequence[str]) -> Any:
    """The part that a user's config describes, its networks loaded from the files it names."""
    objects: dict[str, object] = {}
    for key, value in config.items():
        if key in _NETWORKS and value == "???":
            raise ValueError(f"{where}.{key} is missing: give {where}.{key}=FILE of a saved model")
        if key in _NETWORKS and isinstance(value, str):
            objects[key] = load(checkpoint_file(value), trust)
        elif key == "guidance" and isinstance(value, dict):  # nested
            objects[key] = _part(value, f"{where}.{key}", trust)
    return build(config, None, **objects)


def repeated(
    condition: int | str | Sequence[int | str] | None,
    num_images: int,
    module: Model,
    guidance: Guidance | None = None,
    what: str = "condition",
) -> Raw:
    """One condition per image: the values in turn, or None.

    Args:
        condition: labels, captions, one of them, or None.
        num_images: how many.
        module: the model that reads them.
        guidance: which reads labels where the model knows none.
        what: the option's name, for messages.

    Raises:
        ValueError: there are more values than images, labels among captions, or the model does not
            know a label.
    """
    if condition is None:
        return None
    values = list(condition) if isinstance(condition, list | tuple) else [condition]
    if len(values) > num_images:
        raise ValueError(f"{what} has {len(values)} values for {num_images} images")
    labels = [value for value in values if isinstance(value, int)]
    if 0 < len(labels) < len(values) and isinstance(condition, list | tuple):
        raise ValueError(f"{what}={written(list(values))}: labels or captions, not both")
    if len(labels) < len(values):
        return [str(values[index % len(values)]) for index in range(num_images)]
    classes = getattr(module.conditioner, "num_classes", None) or num_classes(guidance)
    if classes is None:
        raise ValueError(f"{what}={condition}: this model has no class labels")
    if wrong := [label for label in labels if not 0 <= label < classes]:
        raise ValueError(f"{what}={wrong}: labels of this model are 0 to {classes - 1}")
    return torch.tensor([labels[index % len(labels)] for index in range(num_images)])
