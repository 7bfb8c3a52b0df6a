"""One clear line for a user's mistake: the problem, the value, the possible values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches

from zoo import paths


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
            return _unknown_key(unknown.group(1), known_keys())
        if kind == "MissingMandatoryValue":
            return _missing(str(error))
        override = getattr(error, "override", None)  # one that hydra's grammar cannot read
        return _unreadable(str(override)) if override else _one_line(str(error))
    if isinstance(error, ValueError):
        return _one_line(str(error))
    if isinstance(error, OSError):
        return _one_line(str(error)) or kind
    return None


def suggestion(name: str, possible: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of the possible names, or nothing.

    >>> suggestion("ddmp", ["ddpm", "autoencoder"])
    "; did you mean 'ddpm'?"
    """
    near = get_close_matches(name, list(possible), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


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
    return f"cannot read '{override}': {reason}"


def _unknown_config(error: Exception) -> str:
    missing = str(getattr(error, "missing_cfg_file", None) or "")
    group, _, name = missing.strip("/").rpartition("/")
    options = [n for n in sorted(getattr(error, "options", None) or []) if n[:1] != "_"]
    if group and not options:  # hydra lists them for a single choice only
        options = sorted(file.stem for file in (paths.configs() / group).glob("[!_]*.yaml"))
    if not group:
        return f"no config called '{missing or name}'" if missing else _one_line(str(error))
    if not options:
        return f"no config group '{group}' (requested: '{missing}'); `zoo list` shows what exists"
    return f"no {group} called '{name}'; there are {', '.join(options)}" + suggestion(name, options)


def _unknown_key(key: str, keys: list[str]) -> str:
    if key in keys and key.count(".") > 1:  # of a config that another choice would bring in
        group, name, _ = key.split(".", 2)
        return f"'{key}' belongs to {name}, which is not chosen: add it to {group}=[...]"
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
    if isinstance(cause, ValueError | OSError):
        return _one_line(str(cause)) + where
    if isinstance(cause, TypeError) and "argument" not in str(cause):
        return None  # not a wrong key but a mistake of ours inside a constructor
    if cause is None or isinstance(cause, TypeError | ImportError):
        message = str(cause) if isinstance(cause, TypeError) else str(error).split("full_key")[0]
        return _one_line(message.split(", set env var")[0]) + where
    return None


def _one_line(message: str) -> str:
    """One line of a message of several, without omegaconf's postscript and hydra's links."""
    lines = []
    for line in message.removeprefix("ValueError raised while resolving interpolation: ").split(
        "\n"
    ):
        line = line.strip()
        if line.startswith(("full_key:", "object_type=", "reference_type=", "See https://")):
            continue
        if line:
            lines.append(line)
    return " ".join(lines)
