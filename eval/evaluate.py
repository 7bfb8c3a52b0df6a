"""``zoo evaluate``, and in Python ``evaluate``: measures a saved model or stored images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo import entry

if TYPE_CHECKING:
    from eval.measure import Evaluation as Evaluation
    from eval.measure import Generation as Generation
    from eval.measure import Setting as Setting
    from eval.measure import evaluate as evaluate

_SUBJECT = ("checkpoint", "images")  # of which one is measured
_FACE = ("Evaluation", "Generation", "Setting", "evaluate")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb."""
    entry.run("evaluate", "evaluate", "eval.study.evaluation:evaluate", argv, _SUBJECT)


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'eval.evaluate' has no attribute {name!r}")
    from eval import measure  # torch would slow `zoo evaluate --help` down

    return getattr(measure, name)


if __name__ == "__main__":
    main()
