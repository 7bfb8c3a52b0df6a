"""A verb's ``--help``: its groups and keys, read from its config files as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from zoo import paths

_FLAGS = """\
flags:
  -m, --multirun              one run for each combination of a=1,2 b=x,y
  --cfg job [--resolve]       print the composed config and stop
  --config-dir FOLDER         a folder of your own configs, laid out like those shown above
  --hydra-help                hydra's own help
  +key=value, ~key            add a key, remove a key"""


def text(
    verb: str, config_name: str, own: Sequence[Path] = (), chosen: Mapping[str, str] | None = None
) -> str:
    """The help text of ``verb``: its config's groups with what each offers, keys and flags.

    Args:
        verb: the verb's name.
        config_name: the primary config's file name without ``.yaml``.
        own: folders of a user's own configs.
        chosen: the keys of the chosen groups' configs, with a line on each.
    """
    file = paths.configs() / f"{config_name}.yaml"
    defaults = groups(file)
    sections = [
        f"zoo {verb}: {description(file)}",
        f"usage: zoo {verb} [group=name ...] [key=value ...]",
    ]
    if defaults:
        sections.append(
            "groups (* is the default; `zoo list` has a line on each):\n"
            + _group_lines(defaults, own)
        )
    keys = _keys(file)
    if keys:
        sections.append("keys:\n" + "\n".join(f"  {line}" for line in keys))
    if chosen:
        width = max(map(len, chosen)) + 2
        lines = [f"  {key:<{width}}{line}".rstrip() for key, line in chosen.items()]
        sections.append("keys of the chosen groups:\n" + "\n".join(lines))
    return "\n\n".join([*sections, _FLAGS])


def description(file: Path) -> str:
    """A config's one-line description: its first line, a comment; empty where there is none."""
    with file.open(encoding="utf-8") as lines:
        first = next(lines, "").strip()
        if first.startswith("# @package"):  # hydra's header must come first where it is needed
            first = next(lines, "").strip()
    return first.lstrip("#").strip() if first.startswith("#") else ""


def options(group: str, own: Sequence[Path] = ()) -> dict[str, str]:
    """The configs of a group with their descriptions, by name; ``_private`` ones are left out.

    Those in folders of a user's ``own`` come last.
    """
    descriptions: dict[str, str] = {}
    for folder in (paths.configs(), *own):
        for file in sorted((folder / group).glob("*.yaml")):
            if not file.stem.startswith("_"):
                descriptions.setdefault(file.stem, description(file))
    return descriptions


def groups(file: Path) -> dict[str, Any]:
    """The groups of a config's defaults list and what is chosen for each."""
    defaults: dict[str, Any] = {}
    for entry in (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            defaults |= groups(file.with_name(f"{entry}.yaml"))  # a config that this one builds on
        elif isinstance(entry, dict):
            for key, name in entry.items():
                words = key.split()
                if "override" not in words and "${" not in str(name):
                    group = words[-1].lstrip("/").partition("@")[0]
                    defaults[group] = name
                    defaults |= _within(file.parent / group / f"{name}.yaml", group)
    return defaults


def comments(files: Iterable[Path]) -> dict[str, str]:
    """The comments behind the keys of config files, by the key's name; the first file's hold."""
    by_key: dict[str, str] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"\s*(\w+):.*?\s# (.+)", line):
                by_key.setdefault(match.group(1), match.group(2))
    return by_key


def _within(file: Path, group: str) -> dict[str, Any]:
    """The groups inside a group's chosen config, such as ``recipe/time_sampler``."""
    if not file.is_file() or "defaults:" not in file.read_text(encoding="utf-8"):
        return {}
    inner = groups(file).items()
    return {f"{group}/{name}": default for name, default in inner if (file.parent / name).is_dir()}


def _group_lines(defaults: dict[str, Any], own: Sequence[Path]) -> str:
    width = max(map(len, defaults)) + 2
    lines = []
    for group, default in defaults.items():
        marked = default if isinstance(default, list) else [default]
        names = [f"{name}*" if name in marked else name for name in options(group, own)]
        lines.append(f"  {group:<{width}}{', '.join(names)}")
    return "\n".join(lines)


def _keys(file: Path) -> list[str]:
    """The top-level ``key: value  # comment`` lines that are neither defaults nor hydra's."""
    lines = file.read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if re.match(r"[A-Za-z_]\w*:", line)]
    return [line for line in keys if not line.startswith(("defaults:", "hydra:"))]
