"""``zoo sweep``: quality against network evaluations, time and guidance, from shared noise."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zoo import entry
from zoo.command.arguments import is_prose
from zoo.command.overrides import key_of, quoted, split_list

_FIXED = (
    "run_dir",
    "name",
    "cache",
    "device",
    "devices",
    "batch_size",
)  # no numbers depend on them


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb: comma lists among the overrides are its axes, which hydra does not see."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    fixed, axes = axes_of(arguments)
    if axes:
        text = ",".join("[" + ",".join(map(quoted, axis)) + "]" for axis in axes)
        fixed.append(f"axes=[{text}]")
    swept = {key_of(axis[0]) for axis in axes}
    needs = [key for key in ("checkpoint",) if key not in swept]
    entry.run("sweep", "sweep", "eval.study.sweep:sweep", fixed, needs)


def axes_of(arguments: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The arguments without comma lists, and each comma list as the overrides of an axis.

    >>> axes_of(["fid_counts=[8,9]", "sampler.num_steps=5,10"])
    (['fid_counts=[8,9]'], [['sampler.num_steps=5', 'sampler.num_steps=10']])
    >>> axes_of(["condition=a cat, asleep"])
    (['condition=a cat, asleep'], [])
    >>> axes_of(["seed=1,1,2"])
    ([], [['seed=1', 'seed=2']])
    """
    fixed, axes = [], []
    for argument in arguments:
        key, sign, value = argument.partition("=")
        parts = split_list(value) if sign and not argument.startswith("-") else []
        if len(parts) < 2 or is_prose(key, value) or key in _FIXED:
            fixed.append(argument)
        else:
            axes.append([f"{key}={part}" for part in dict.fromkeys(parts)])
    return fixed, axes


if __name__ == "__main__":
    main()
