"""``zoo compare``: the models of an experiment under one budget and one protocol."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zoo import entry
from zoo.command.overrides import split_list

_LISTS = ("train_seeds", "models")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    entry.run("compare", "compare", "eval.study.comparison:compare", bracketed(arguments))


def bracketed(arguments: Sequence[str]) -> list[str]:
    """The arguments with bare comma lists of models and seeds as lists, unless hydra sweeps.

    >>> bracketed(["train_seeds=0,1,2", "models=ddpm", "seed=1"])
    ['train_seeds=[0,1,2]', 'models=[ddpm]', 'seed=1']
    """
    if {"-m", "--multirun"} & set(arguments):  # hydra then runs a comparison for each
        return list(arguments)
    lists = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        bare = key in _LISTS and value not in ("", "null")
        if bare and (len(split_list(value)) > 1 or value[0] not in "[$"):
            argument = f"{key}=[{value}]"
        lists.append(argument)
    return lists


if __name__ == "__main__":
    main()
