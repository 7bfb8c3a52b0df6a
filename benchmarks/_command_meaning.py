"""Whether a command line that ran did what it says: its values, and the files it promises."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from _command_grammar import WITHOUT_CONFIG, Line

from zoo import paths
from zoo.command.overrides import key_of, split_list

_SHOWS = (
    "--help",
    "-h",
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--hydra-help",
    "--version",
    "--shell-completion",
    "-sc",
)


def reason(
    line: Line,
    configs: Sequence[Mapping[str, Any]],
    stdout: str,
    files: Sequence[str],
    folder: Path,
) -> str:
    """Why a success is one of another meaning; empty where it is right."""
    if any(file.endswith("pwned") for file in files):
        return "ran a program of a config"
    if any(a.partition("=")[0] in _SHOWS for a in line.arguments):
        return "" if stdout.strip() or line.streams else "shows nothing"
    if line.verb in WITHOUT_CONFIG:
        return "" if stdout.strip() or line.streams else "shows nothing"
    if not configs:
        return "its task was not run"
    if not {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(line.arguments):
        if wrong := _values(line, configs[-1]):
            return wrong
        return _written(line, configs[-1], stdout, folder)
    return ""


def _values(line: Line, config: Mapping[str, Any]) -> str:
    """The last override of each key that the config does not follow."""
    overrides: dict[str, str] = {}
    arguments = iter(line.arguments)
    for argument in arguments:
        if argument.startswith("-"):
            next(arguments, None)
        elif argument:
            key = key_of(argument).strip()
            overrides.pop(key, None)
            overrides[key] = argument
    for key, argument in overrides.items():
        if not _is_literal(key, argument):
            continue
        value, removed = argument.partition("=")[2], argument.startswith("~")
        if _is_group(key):
            wrong = _choice(key, value, config, removed)
        elif _is_rewritten(line.verb, key, value, overrides):
            continue
        else:
            wrong = _value(key, value, config, removed)
        if wrong:
            return f"{argument[:80]}: {wrong}"
    return ""


def _is_literal(key: str, argument: str) -> bool:
    """Whether an argument says what is expected: no interpolation, function or package."""
    if re.search(r"=\w+\(", argument) or "$" in argument or "@" in argument.partition("=")[0]:
        return False
    return not key.startswith("hydra")


def _is_group(key: str) -> bool:
    folder = paths.configs() / key.replace(".", "/")
    return (paths.configs() / key).is_dir() or any(folder.glob("*.yaml"))


def _is_rewritten(verb: str, key: str, value: str, keys: Iterable[str]) -> bool:
    """Whether a verb makes something else of it: an axis of a sweep, a setting of a row."""
    if verb == "sweep":
        return len(split_list(value)) > 1
    return verb in ("compare", "reproduce") and any(
        key.startswith(f"{k}.") or k.startswith(f"{key}.") for k in keys
    )


def _value(key: str, value: str, config: Mapping[str, Any], removed: bool) -> str:
    node, exists = _at(config, key)
    if removed:
        kept = exists and key not in ("callbacks", "logger")
        return "the key is still there" if kept else ""
    if not exists:
        return "the key is nowhere"
    same = any(_same(node, reading) for reading in _readings(value))
    return "" if same else f"it became {node!r:.80}"


def _at(config: Any, key: str) -> tuple[Any, bool]:
    for name in key.split("."):
        if isinstance(config, list) and name.isdigit() and int(name) < len(config):
            config = config[int(name)]
        elif isinstance(config, Mapping) and name in config:
            config = config[name]
        elif isinstance(config, Mapping) and name.lstrip("-").isdigit() and int(name) in config:
            config = config[int(name)]
        else:
            return None, False
    return config, True


def _readings(text: str) -> list[Any]:
    """What a person may mean by a text: itself, a number, a list with or without brackets."""
    readings: list[Any] = [text, text.strip()]
    bare = text.strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"":
        readings.append(bare[1:-1])
        readings.append(bare[1:-1].replace(f"\\{bare[0]}", bare[0]))
    else:
        for form in (bare, f"[{bare}]"):
            with contextlib.suppress(yaml.YAMLError, ValueError):
                readings.append(yaml.safe_load(form))
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                readings.append(kind(bare))
        if bare.lower() == "null" or not bare:
            readings.append(None)
    if bare.startswith("~/"):
        readings.append(str(Path(bare).expanduser()))
    return readings


def _same(value: Any, reading: Any) -> bool:
    if isinstance(value, bool) or isinstance(reading, bool):
        return value is reading
    if isinstance(value, int | float) and isinstance(reading, int | float | str):
        try:
            number = float(reading)
        except (ValueError, OverflowError):
            return False
        return value == number or (math.isnan(value) and math.isnan(number))
    if isinstance(value, list) and isinstance(reading, list):
        return len(value) == len(reading) and all(map(_same, value, reading))
    if isinstance(value, Mapping) and isinstance(reading, Mapping):
        return all(str(k) in map(str, value) for k in reading)
    return value == reading or (isinstance(value, str) and str(reading) == value)


def _choice(key: str, value: str, config: Mapping[str, Any], removed: bool) -> str:
    """Whether a group's choice is in the config: its class, or its names among several."""
    node, exists = _at(config, key.replace("/", "."))
    names = [name.strip("[]' \"") for name in value.split(",")]
    if removed or value in ("null", "[]", ""):
        return "it is still there" if removed and node and "_target_" in node else ""
    file = paths.configs() / key / f"{names[0]}.yaml"
    if not file.is_file():
        return ""  # one of a user's own, or of another package
    first = yaml.safe_load(file.read_text()) or {}
    if key in ("metric", "extractor"):
        return "" if set(names) <= set(node or {}) else f"it has {list(node or {})}"
    target = first.get("_target_")
    if target and (not isinstance(node, Mapping) or node.get("_target_") != target):
        return f"it became {node!r:.80}"
    return "" if exists or not target else "it is nowhere"


def _written(line: Line, config: Mapping[str, Any], stdout: str, folder: Path) -> str:
    """The files that a verb promises."""
    if line.verb == "sample":
        said = stdout.strip().rpartition(" images: ")[2]
        out = folder / (config["out"] or said or "nothing")
        if str(config["out"]).startswith(("/dev/", "~")) or line.streams:
            return ""
        if not out.exists():
            return f"wrote no {out.name}"
        count = int(config["num_images"])
        if out.is_dir() and (got := len(list(out.rglob("*.png")))) < count:
            return f"wrote {got} of {count} images"
        if out.suffix == ".npz" and (got := len(np.load(out)["arr_0"])) != count:
            return f"wrote {got} of {count} images"
        return ""
    if line.verb == "convert":
        out = str(config["out"] or "openai.safetensors")
        return "" if (folder / out).is_file() else f"wrote no {out}"
    promised = {
        "train": "model.safetensors", "evaluate": "result.json", "compare": "results.csv",
        "sweep": "sweep.csv", "statistics": "", "rosetta": "rosetta.md",
        "reproduce": "reproduce.md",
    }  # fmt: skip
    if line.verb not in promised:
        return ""
    place = folder / str(config["run_dir"]) / promised[line.verb]
    if not place.exists():
        return f"wrote no {place.relative_to(folder) if place.is_relative_to(folder) else place}"
    if line.verb == "train":
        saved = yaml.safe_load((place.parent / "config.yaml").read_text())
        if saved["seed"] != config["seed"]:
            return f"config.yaml has seed {saved['seed']}"
    return ""
