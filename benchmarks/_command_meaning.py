"""Whether a command line that ran did what it says: its values, and the files it promises."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from _command_grammar import Line

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
_READS_NOTHING = ("list", "doctor")


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
    if line.verb in _READS_NOTHING:
        return "" if stdout.strip() or line.streams else "shows nothing"
    if not configs:
        return "its task was not run"
    if not {"-m", "--multirun"} & set(line.arguments):
        if wrong := _values(line, configs[-1]):
            return wrong
        return _written(line, configs[-1], files, folder)
    return ""


def _values(line: Line, config: Mapping[str, Any]) -> str:
    """The last override of each key that the config does not follow."""
    overrides: dict[str, str] = {}
    arguments = iter(line.arguments)
    for argument in arguments:
        if argument.startswith("-"):
            next(arguments, None)
        elif argument:
            overrides.pop(key_of(argument), None)
            overrides[key_of(argument)] = argument
    for key, argument in overrides.items():
        if (
            re.search(r"=\w+\(", argument)
            or key.startswith("hydra")
            or "$" in argument
            or "@" in argument.partition("=")[0]
        ):
            continue
        value = argument.partition("=")[2]
        if (paths.configs() / key).is_dir() or any(
            (paths.configs() / key.replace(".", "/")).glob("*.yaml")
        ):
            if wrong := _choice(key, value, config, argument.startswith("~")):
                return wrong
            continue
        node, exists = _at(config, key)
        if argument.startswith("~"):
            if exists and key not in ("callbacks", "logger"):
                return f"{argument}: the key is still there"
        elif (line.verb == "sweep" and len(split_list(value)) > 1) or (
            line.verb in ("compare", "reproduce")
            and any(
                key.startswith(f"{o}.") or o.startswith(f"{key}.") for o in overrides if o != key
            )
        ):
            continue
        elif not exists:
            return f"{argument[:80]}: the key is nowhere"
        elif not any(_same(node, reading) for reading in _readings(value)):
            return f"{argument[:80]} became {node!r:.80}"
    return ""


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
            try:
                readings.append(yaml.safe_load(form))
            except (yaml.YAMLError, ValueError):
                pass
        try:
            readings.append(int(bare))
        except ValueError:
            try:
                readings.append(float(bare))
            except ValueError:
                pass
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
        return (
            f"{key}={value}: it is still there" if removed and node and "_target_" in node else ""
        )
    file = paths.configs() / key / f"{names[0]}.yaml"
    if not file.is_file():
        return ""  # one of a user's own, or of another package
    first = yaml.safe_load(file.read_text()) or {}
    if key in ("metric", "extractor"):
        return "" if set(names) <= set(node or {}) else f"{key}={value}: it has {list(node or {})}"
    target = first.get("_target_")
    if target and (not isinstance(node, Mapping) or node.get("_target_") != target):
        return f"{key}={value} became {node!r:.80}"
    return "" if exists or not target else f"{key}={value}: it is nowhere"


def _written(line: Line, config: Mapping[str, Any], files: Sequence[str], folder: Path) -> str:
    """The files that a verb promises."""
    if line.verb == "sample":
        out = folder / str(config["out"])
        if str(out).startswith("/dev/"):
            return ""
        if not out.exists():
            return f"wrote no {config['out']}"
        count = int(config["num_images"])
        if out.is_dir() and (got := len(list((out / "images").glob("*.png")))) < count:
            return f"wrote {got} of {count} images"
        if out.suffix == ".npz" and (got := len(np.load(out)["arr_0"])) != count:
            return f"wrote {got} of {count} images"
        return ""
    if line.verb == "convert":
        out = str(config["out"] or "openai.safetensors")
        return "" if (folder / out).is_file() else f"wrote no {out}"
    promised = {
        "train": "model.safetensors", "evaluate": "result.json", "compare": "results.csv",
        "sweep": "sweep.csv", "statistics": "", "rosetta": "rosetta.md", "reproduce": "reproduce.md",
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
