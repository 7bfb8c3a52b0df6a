"""One clear line for a user's mistake: the problem, the value, the possible values."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from zoo import paths
from zoo.system import ranks
from zoo.system.hardware import not_offered

_LONGEST = 3000  # letters of a message, whatever somebody's value was
SEVERAL = ("callbacks", "extractor", "logger", "metric")  # groups that hold parts by name
_READERS = ("hydra", "omegaconf", "antlr4", "yaml")  # which read what a user wrote


def leave(where: str, message: str, code: int = 2) -> NoReturn:
    """Ends the process with one line on stderr, ``where: message``; code 2 is a user's mistake.

    Raises:
        SystemExit: always.
    """
    if ranks.speaks():
        print(f"{where}: {printable(message)}", file=sys.stderr)
    raise SystemExit(code)


def printable(message: str) -> str:
    r"""A message as one line: control signs are written out, and the middle of a book is left out.

    >>> print(printable("no sampler called 'a\rb'"))
    no sampler called 'a\rb'
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
    if len(text) > _LONGEST:
        return f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 4 :]}"
    return text


def explain(error: Exception, known_keys: Callable[[], list[str]]) -> str | None:
    """The line that says what went wrong, or None for an error that needs its traceback.

    Args:
        error: what was raised; hydra's and omegaconf's are recognised by their module, so that this
            file imports neither.
        known_keys: gives the config's dotted keys, for near matches; called only when needed.
    """
    kind, home = type(error).__name__, type(error).__module__.partition(".")[0]
    if kind == "MissingConfigException":
        return _unknown_config(error)
    if kind == "InstantiationException":
        return _not_built(error)
    if home in ("hydra", "omegaconf"):
        unknown = re.match(r"Could not (?:override|delete from config\.) '([^']+)'", str(error))
        if unknown:
            return unknown_key(unknown.group(1), known_keys())
        if kind == "MissingMandatoryValue":
            return _missing(str(error))
        removed = re.match(r"Key '(\w+)' is not in struct|Missing key (\w+)", str(error))
        if removed:
            return f"{removed.group(1) or removed.group(2)} is missing: `~` removed it"
        chosen = re.match(r"Multiple values for (\S+)\. ", str(error))
        if chosen:
            return f"{chosen.group(1)} is chosen already: leave the + out"
        override = getattr(error, "override", None)  # one that hydra's grammar cannot read
        return _unreadable(str(override)) if override else _one_line(str(error)) or _cause(error)
    if home == "submitit":
        return _job(str(error))
    if isinstance(error, ValueError):
        return _one_line(str(error))
    if isinstance(error, OSError):
        return _one_line(str(error)) or kind
    if isinstance(error, OverflowError):
        return f"a number is too large: {_one_line(str(error))}"
    if isinstance(error, RuntimeError) and "determine home directory" in str(error):
        return "a path begins with ~ and the name of nobody here"
    if _is_out_of_memory(error):
        return out_of_memory(error, lambda key: None)
    if _raised_by(error, ["lightning"]):
        return _one_line(str(error)) or kind
    if isinstance(error, RecursionError) and {*_READERS} & {*_homes(error)[-100:]}:
        return "a value or a config is nested too deeply, or holds itself"
    if _raised_by(error, _READERS):
        return f"cannot be read: {_cause(error)}"
    return None


def out_of_memory(error: Exception, setting: Callable[[str], Any]) -> str | None:
    """The line on a lack of memory: the batch, and the keys that need less; None of other errors.

    Args:
        error: what was raised.
        setting: a dotted key's value in the config, None where there is no such key.
    """
    if not _is_out_of_memory(error):
        return None
    reason = _one_line(str(error)).partition(". ")[0]
    line = "not enough memory" + (f": {reason}" if reason else "")
    remedies = []
    if setting("trainer") is not None and (size := setting("data.batch_size")) is not None:
        line += f"; a step takes data.batch_size={size} images, shared between the devices"
        parts = 2 * (setting("trainer.accumulate_grad_batches") or 1)
        if size > 1:
            halved = f"data.batch_size={-(-size // 2)} trainer.accumulate_grad_batches={parts}"
            remedies.append(f"{halved} (the same step in more parts)")
        if setting("model.denoiser") is not None:
            remedies.append("++model.denoiser.gradient_checkpointing=true")
    elif (size := setting("batch_size")) is not None:
        line += f"; images come batch_size={size} at a time"
        if size > 1:
            remedies.append(f"batch_size={-(-size // 2)} (the results are the same)")
    return f"{line}: try {', or '.join(remedies)}" if remedies else line


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, numpy or torch asked for more than there is."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # of torch, which has no type for it on a CPU or an MPS, nor for CUDA's libraries
    words = (
        "allocate memory",
        "not enough memory",
        "out of memory",
        "_ALLOC_FAILED",
        "Storage size",
    )
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _raised_by(error: BaseException, packages: Sequence[str]) -> bool:
    """Whether one of these packages raised an error, not something that it called."""
    return any(home in packages for home in _homes(error)[-1:])


def _homes(error: BaseException) -> list[str]:
    """The packages that an error went through, the one that raised it last."""
    homes, place = [], error.__traceback__
    while place is not None:
        homes.append(str(place.tb_frame.f_globals.get("__name__", "")).partition(".")[0])
        place = place.tb_next
    return homes


def suggestion(name: str, possible: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of the possible names, or nothing.

    >>> suggestion("ddmp", ["ddpm", "autoencoder"])
    "; did you mean 'ddpm'?"
    """
    near = get_close_matches(name, list(possible), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def _job(message: str) -> str:
    """Why a job of submitit ended: the last line of its own, and where the others are."""
    lines = [line.strip() for line in message.splitlines()]
    own = [line for line in lines if re.match(r"zoo \w+: |\w*(Error|Exception)\b", line)]
    files = re.findall(r"\S+\.(?:err|out)\b", message)
    where = f"; its output is in {files[0]}" if files else ""
    return f"a job of the sweep has failed: {own[-1] if own else lines[0]}{where}"


def _cause(error: BaseException) -> str:
    """What was raised first, where the last error has no words of its own."""
    while not str(error) and error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__} {_one_line(str(error))}".rstrip()


def _missing(message: str) -> str:
    key = message.partition("\n")[0].removeprefix("Missing mandatory value: ")
    return f"{key} is missing: give {key}=..."


def _unreadable(override: str) -> str:
    """Why hydra's grammar cannot read an override."""
    name, _, value = override.partition("=")
    bare = re.sub(r"(['\"])(?:\\.|(?!\1).)*\1", "", value)
    reason = f"text with signs goes into quotes, {name}='\"...\"'"
    if any(bare.count(pair[0]) != bare.count(pair[1]) for pair in ("[]", "{}", "()")):
        reason = "a bracket is not closed"
    elif "'" in bare or '"' in bare:
        reason = "a quotation mark is not closed"
    elif re.search(r"[\[,]\s*,|,\s*\]", bare):
        reason = "a list has an empty place"
    return f"cannot read '{override}': {reason}"


def _unknown_config(error: Exception) -> str:
    missing = str(getattr(error, "missing_cfg_file", None) or "")
    group, _, name = missing.strip("/").rpartition("/")
    if group.startswith("."):
        return f"no config called '{missing}'"
    options = [n for n in sorted(getattr(error, "options", None) or []) if n[:1] != "_"]
    if group and not options:  # hydra lists them for a single choice only
        options = sorted(file.stem for file in (paths.configs() / group).glob("[!_]*.yaml"))
    if not group:
        return f"no config called '{missing or name}'" if missing else _one_line(str(error))
    if group == "trainer" and (reason := not_offered(name)):
        return f"no trainer called '{name}': {reason}"
    if not options:
        return f"no config group '{group}' (requested: '{missing}'); `zoo list` shows what exists"
    return f"no {group} called '{name}'; there are {', '.join(options)}" + suggestion(name, options)


def unknown_key(key: str, keys: list[str]) -> str:
    """The line on a key that a config lacks, with those that may have been meant."""
    if key in keys and key.split(".")[0] in SEVERAL and key.count(".") > 1:
        group, name, _ = key.split(".", 2)
        return f"'{key}' belongs to {name}, which is not chosen: add it to {group}=[...]"
    if key in keys:
        return f"unknown key '{key}': `~` removed it"
    parent, _, last = key.rpartition(".")
    prefix = f"{parent}." if parent else ""
    siblings = [k for k in keys if k.startswith(prefix) and "." not in k[len(prefix) :]]
    # A near name on the same level first, then the same name elsewhere, then any near key.
    near = get_close_matches(key, siblings, n=3, cutoff=0.6)
    near += [k for k in keys if k.rpartition(".")[2] == last]
    near += get_close_matches(key, keys, n=3, cutoff=0.75)
    names = list(dict.fromkeys(near))[:3]
    if names:
        return f"unknown key '{key}'; did you mean {' or '.join(repr(n) for n in names)}?"
    here = sorted(siblings) if siblings else sorted(k for k in keys if "." not in k)
    return f"unknown key '{key}'; possible are {', '.join(here)}"


def _not_built(error: Exception) -> str | None:
    cause = error.__cause__
    place = re.search(r"full_key: (\S+)", str(error))
    where = f" (building '{place.group(1)}')" if place else ""
    if isinstance(cause, Exception) and not isinstance(cause, TypeError | ImportError):
        line = explain(cause, list)
        return None if line is None else line + where
    if isinstance(cause, TypeError) and "argument" not in str(cause):
        return None  # not a wrong key but a mistake of ours inside a constructor
    if cause is None or isinstance(cause, TypeError | ImportError):
        message = str(cause) if isinstance(cause, TypeError) else str(error).split("full_key")[0]
        return _one_line(message.split(", set env var")[0]) + where
    return None


def _one_line(message: str) -> str:
    """One line of a message of several, without omegaconf's postscript and hydra's links."""
    lines = []
    message = re.sub(r"^\w+ (raised )?while resolving interpolation: ", "", message)
    for line in message.split("\n"):
        line = line.strip()
        if line.startswith(("full_key:", "object_type=", "reference_type=", "See https://")):
            continue
        if line:
            lines.append(line)
    return " ".join(lines)
