"""``zoo cache``: what is kept of evaluations, data and trainings, and ``zoo cache prune``."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence

from eval.study.cache_entries import KINDS, Entry, chosen, entries, remove
from zoo import paths
from zoo.command.tables import show
from zoo.system.errors import leave, suggestion
from zoo.system.files import BYTES, size_text

_HELP = """\
usage: zoo cache
       zoo cache prune [max_age=30d] [max_size=5GB] [dry_run=true]

Shows how many evaluations, baselines, features and unfinished images are kept, of data sets decoded
images and indexes of shards, and of trainings latents and captions' embeddings, their size and age.
prune removes what was written longer ago than max_age, then the oldest until what is left is no
larger than max_size. What is removed is made again when it is needed.

keys:
  max_age    a number with s, min, h, d or w, such as 12h or 30d
  max_size   a number with B, KB, MB, GB or TB, such as 500MB; 0B keeps nothing
  dry_run    true: say what would go, and remove nothing

environment:
  ZOO_CACHE  its folder, in which evaluations/, decoded/, shards/, latents/ and captions/ are
             (default ~/.cache/diffusion-zoo)"""

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_KEYS = ("max_age", "max_size", "dry_run")


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, or prunes; a mistake ends the process with exit code 2 and one line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "-h" in arguments or "--help" in arguments:
        print(_HELP)
        return
    if not arguments:
        show({f"cache {paths.cache()}": summary(entries(paths.evaluations()))})
        return
    if arguments[0] != "prune":
        hint = suggestion(arguments[0], ["prune"])
        leave("zoo cache", f"takes nothing or 'prune', got '{arguments[0]}'{hint}")
    try:
        max_age, max_size, dry_run = _settings(arguments[1:])
    except ValueError as error:
        leave("zoo cache", str(error))
    prune(max_age, max_size, dry_run)


def prune(max_age: float | None, max_size: int | None, dry_run: bool = False) -> list[Entry]:
    """Removes what is too old or too much, and says what that was.

    Args:
        max_age: in seconds; None for any.
        max_size: of what stays, in bytes; None for any.
        dry_run: say it only.

    Returns:
        The entries that went, or would go.
    """
    kept = entries(paths.evaluations())
    gone = chosen(kept, max_age, max_size)
    for entry in [] if dry_run else gone:
        remove(entry)
    verb = "would remove" if dry_run else "removed"
    left = sum(entry.size for entry in kept) - sum(entry.size for entry in gone)
    show({f"{verb} from {paths.cache()}": summary(gone)})
    print(f"{len(kept) - len(gone)} entries of {size_text(left)} stay")
    return gone


def summary(kept: Sequence[Entry]) -> dict[str, str]:
    """A line for each kind of entry: count, size, and the ages of the newest and the oldest."""
    now, lines = time.time(), {}
    for kind in KINDS:
        of_kind = [entry for entry in kept if entry.kind is kind]
        text = "none"
        if of_kind:
            ages = sorted(now - entry.time for entry in of_kind)
            text = f"{len(of_kind)}, {size_text(sum(entry.size for entry in of_kind))}, "
            text += f"{age_text(ages[0])} to {age_text(ages[-1])} old"
        lines[kind.name] = f"{text} ({kind.about})"
    lines["total"] = f"{len(kept)}, {size_text(sum(entry.size for entry in kept))}"
    return lines


def age_text(seconds: float) -> str:
    """Seconds in words.

    >>> age_text(0.5), age_text(7_200), age_text(2_600_000)
    ('0 s', '2 h', '30 d')
    """
    unit = next((u for u in ("d", "h", "min") if seconds >= _SECONDS[u]), "s")
    return f"{max(0.0, seconds) // _SECONDS[unit]:.0f} {unit}"


def _settings(arguments: Sequence[str]) -> tuple[float | None, int | None, bool]:
    """The limits and ``dry_run`` of a command line.

    Raises:
        ValueError: an unknown key, a value that cannot be read, or no limit.
    """
    values: dict[str, str] = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in _KEYS or key in values:
            problem = f"'{key}' twice" if key in values else f"no key '{key}'"
            hint = suggestion(key, _KEYS) if key not in values else ""
            raise ValueError(f"prune: {problem}; there are {', '.join(_KEYS)}{hint}")
        values[key] = value
    dry_run = values.pop("dry_run", "false").lower()
    if dry_run not in ("true", "false"):
        raise ValueError(f"dry_run is true or false, got '{dry_run}'")
    if not values:
        raise ValueError("prune needs a limit: max_age=30d, max_size=5GB, or both")
    age = _number(values["max_age"], "max_age", _SECONDS) if "max_age" in values else None
    size = _number(values["max_size"], "max_size", BYTES) if "max_size" in values else None
    return age, None if size is None else int(size), dry_run == "true"


def _number(text: str, key: str, units: dict[str, int]) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text)
    by_name = {unit.lower(): factor for unit, factor in units.items()}
    if match is None or match.group(2).lower() not in by_name:
        raise ValueError(f"{key} is a number with {', '.join(units)}, got '{text}'")
    return float(match.group(1)) * by_name[match.group(2).lower()]


if __name__ == "__main__":
    main()
