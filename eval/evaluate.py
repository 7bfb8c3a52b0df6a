"""``zoo evaluate``, and in Python ``evaluate``: measures a saved model or stored images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo import entry
from zoo.command.overrides import bracketed, split_list

if TYPE_CHECKING:
    from eval.measure import Evaluation as Evaluation
    from eval.measure import Generation as Generation
    from eval.measure import Setting as Setting
    from eval.measure import evaluate as evaluate

_SUBJECT = ("checkpoint", "images")  # of which one is measured
_FACE = ("Evaluation", "Generation", "Setting", "evaluate")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb."""
    arguments = bracketed_lists(sys.argv[1:] if argv is None else argv)
    entry.run("evaluate", "evaluate", "eval.study.evaluation:evaluate", arguments, _SUBJECT)


def bracketed_lists(arguments: Sequence[str]) -> list[str]:
    """The arguments with a bare comma list of checkpoints as a list; one file stays a text.

    >>> bracketed_lists(["checkpoint=a,b", "device=cpu"]), bracketed_lists(["checkpoint=runs/a"])
    (['checkpoint=[a,b]', 'device=cpu'], ['checkpoint=runs/a'])
    """
    several = [a for a in arguments if a.startswith("checkpoint=") and len(split_list(a)) > 1]
    return bracketed(arguments, ["checkpoint"] if several else [])


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'eval.evaluate' has no attribute {name!r}")
    from eval import measure  # torch would slow `zoo evaluate --help` down

    return getattr(measure, name)


if __name__ == "__main__":
    main()
