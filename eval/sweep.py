"""``zoo sweep``: quality against network evaluations, time and guidance, from shared noise."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zoo import entry
from zoo.command.overrides import quoted, split_list


def main(argv: Sequence[str] | None = None) -> None:
    """The verb: comma lists among the overrides are its axes, which hydra is not shown."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    kept, axes = axes_of(arguments)
    if axes:
        told = ",".join("[" + ",".join(map(quoted, axis)) + "]" for axis in axes)
        kept.append(f"axes=[{told}]")
    entry.run("sweep", "sweep", "eval.study.sweep:sweep", kept)


def axes_of(arguments: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The arguments without comma lists, and each comma list as the overrides of an axis.

    >>> axes_of(["fid_counts=[8,9]", "sampler.num_steps=5,10"])
    (['fid_counts=[8,9]'], [['sampler.num_steps=5', 'sampler.num_steps=10']])
    """
    kept, axes = [], []
    for argument in arguments:
        key, sign, value = argument.partition("=")
        parts = split_list(value) if sign and not argument.startswith("-") else []
        if len(parts) < 2:
            kept.append(argument)
        else:
            axes.append([f"{key}={part}" for part in parts])
    return kept, axes


if __name__ == "__main__":
    main()
