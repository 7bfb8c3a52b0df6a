"""Names of rows by what differs between their configs: pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

_MOST = 3  # differences in one name


def row_names(
    configs: Sequence[dict[str, Any]], kinds: Sequence[str], runs: Sequence[str]
) -> list[str]:
    """A name for each row: its kind, and the fewest settings that tell it from others of its kind.

    Args:
        configs: of the rows, nested; parts name their class as ``_target_``.
        kinds: what a row alone of its kind is called, such as "ddpm".
        runs: distinct names that are added where configs do not differ.

    >>> part = lambda name: {"schedule": {"_target_": f"zoo.schedule.{name}"}}
    >>> row_names([part("Linear"), part("Cosine")], ["ddpm", "ddpm"], ["a", "b"])
    ['ddpm schedule=linear', 'ddpm schedule=cosine']
    >>> row_names([{}, {}], ["ddpm", "ddpm"], ["a", "b"])
    ['a', 'b']
    """
    names = list(kinds)
    for kind in dict.fromkeys(kinds):
        rows = [index for index, other in enumerate(kinds) if other == kind]
        if len(rows) > 1:
            labels = _labels([configs[row] for row in rows])
            for row, label in zip(rows, labels, strict=True):
                alone = labels.count(label) == 1
                words = [kind, label] if alone else [kind, label, f"({runs[row]})"]
                names[row] = " ".join(words) if label else runs[row]
    return names


def config_differences(configs: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Every setting in which configs differ, by its dotted name, with each config's value.

    Where two parts are of different classes, that is their one difference. What a config does not
    say does not differ: files of earlier versions lack settings of later ones.

    >>> config_differences([{"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}])
    {'b.c': ['2', '3']}
    """
    flat = [dict(_settings(config)) for config in configs]
    keys = list(dict.fromkeys(key for settings in flat for key in settings))
    values = {key: [settings[key] for settings in flat] for key in keys if _of_all(key, flat)}
    differing = {key: texts for key, texts in values.items() if len(set(texts)) > 1}
    return {
        key: texts
        for key, texts in differing.items()
        if not any(key.startswith(f"{part}.") for part in differing)
    }


def _labels(configs: Sequence[dict[str, Any]]) -> list[str]:
    """The shortest texts that tell different configs apart; equal ones have equal texts."""
    differences = config_differences(configs)
    whole = list(zip(*differences.values(), strict=True)) or [()] * len(configs)
    for count in range(min(_MOST, len(differences)) + 1):
        for keys in combinations(differences, count):
            parts = list(zip(*(differences[key] for key in keys), strict=True)) or [()] * len(whole)
            if len(set(parts)) == len(set(whole)):
                heads = [_short(key, list(differences)) for key in keys]
                return [
                    ", ".join(f"{h}={text}" for h, text in zip(heads, texts, strict=True))
                    for texts in parts
                ]
    return [""] * len(configs)


def _settings(config: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every plain value as text, and the class of every part, by its dotted name."""
    if not isinstance(config, dict):
        yield key, _text(config)
        return
    if "_target_" in config:
        yield key, _class_name(str(config["_target_"]))
    for name, value in config.items():
        if name not in ("_target_", "_partial_"):
            yield from _settings(value, f"{key}.{name}" if key else str(name))


def _of_all(key: str, flat: Sequence[dict[str, str]]) -> bool:
    return all(key in settings for settings in flat)


def _class_name(target: str) -> str:
    """``zoo.schedule.cosine.Cosine`` as "cosine"."""
    name = target.rpartition(".")[2]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _short(key: str, keys: Sequence[str]) -> str:
    """The end of a dotted name that no other has."""
    words = key.split(".")
    for count in range(1, len(words)):
        end = ".".join(words[-count:])
        if not any(other != key and f".{other}".endswith(f".{end}") for other in keys):
            return end
    return key


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text[:8] if re.fullmatch("[0-9a-f]{64}", text) else text
