"""The keys that the chosen configs of a verb's groups bring along, with a line on each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo import paths
from zoo.command.check import words, written
from zoo.command.compose import compose, dotted
from zoo.command.help import comments
from zoo.command.signature import signature
from zoo.command.types import kind_of


def chosen_keys(
    config_name: str, overrides: Sequence[str], folders: Sequence[Path] = ()
) -> dict[str, str]:
    """Dotted keys and their values, each with what it is.

    The description is the comment in the config, or else the argument's in the docstring of the
    class that is built.

    Args:
        config_name: the primary config's file name without ``.yaml``.
        overrides: which choose the groups' configs.
        folders: of a user's own configs.

    Raises:
        ValueError: an override cannot be composed.
    """
    nodes = dotted(compose(config_name, overrides, folders))
    lines: dict[str, str] = {}
    for key, node in nodes.items():
        parent, _, name = key.rpartition(".")
        if not parent or name.startswith("_"):
            continue
        if _is_part(node):
            if function := _function(node):
                lines[key] = f"{function:<10}  # a function: {key}._target_ names it"
            continue
        target = nodes.get(f"{parent}._target_")
        about = _about(key, str(target._value()) if target is not None else "", folders)
        lines[key] = f"{written(_plain(node)):<10}  # {about}"
    return lines


def _function(node: Any) -> str:
    """The name of a function that a node names, empty for other nodes."""
    target = node.get("_target_") if "_partial_" in node else None
    last = str(target).rpartition(".")[2] if target else ""
    return last if last.islower() else ""


def _is_part(node: Any) -> bool:
    """Whether a node's keys follow on lines of their own."""
    from omegaconf import DictConfig

    return isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation()


def _plain(node: Any) -> Any:
    from omegaconf import ListConfig

    if isinstance(node, ListConfig) and not node._is_none() and not node._is_interpolation():
        return [str(item) for item in node._iter_ex(resolve=False)]
    return node._value()


def _about(key: str, target: str, folders: Sequence[Path]) -> str:
    """What an argument is: a config's comment, a docstring's sentence, or its type."""
    group, name = key.partition(".")[0], key.rpartition(".")[2]
    files = [
        file
        for folder in (*folders, paths.configs())
        for file in sorted((folder / group).rglob("*.yaml"))
        if target and target in file.read_text(encoding="utf-8")
    ]
    if comment := comments(files).get(name):
        return comment
    known = signature(target) if target else None
    argument = known.arguments.get(name) if known else None
    if argument is not None and argument.about:
        return argument.about.partition(". ")[0].partition("; ")[0].rstrip(".")
    kind = kind_of(key) or (argument.kind if argument is not None else Any)
    return words(kind)
