"""``zoo sweep``: quality against network evaluations, time and guidance, from shared noise."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zoo import entry


def main(argv: Sequence[str] | None = None) -> None:
    """The verb: comma lists among the overrides are its axes, which hydra is not shown."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    kept, axes = axes_of(arguments)
    if axes:
        told = ",".join("[" + ",".join(map(entry.quoted, axis)) + "]" for axis in axes)
        kept.append(f"axes=[{told}]")
    entry.run("sweep", "sweep", "eval.verbs:sweep", kept)


def axes_of(arguments: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The arguments without comma lists, and each comma list as the overrides of an axis.

    >>> axes_of(["fid_counts=[8,9]", "sampler.num_steps=5,10"])
    (['fid_counts=[8,9]'], [['sampler.num_steps=5', 'sampler.num_steps=10']])
    """
    kept, axes = [], []
    for argument in arguments:
        key, sign, value = argument.partition("=")
        parts = split(value) if sign and not argument.startswith("-") else []
        if len(parts) < 2:
            kept.append(argument)
        else:
            axes.append([f"{key}={part}" for part in parts])
    return kept, axes


def split(text: str) -> list[str]:
    """The parts of a comma list; commas within brackets, braces and quotes do not part it.

    >>> split("a,[1,2],'x,y'")
    ['a', '[1,2]', "'x,y'"]
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += letter
    return parts


if __name__ == "__main__":
    main()
