"""``zoo ema``: averages of a training's weights, of any length after it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zoo import entry
from zoo.command.overrides import bracketed


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb; ``sigma_rel=0.1,0.2`` is a list."""
    arguments = bracketed(sys.argv[1:] if argv is None else argv, ["sigma_rel"])
    entry.run("ema", "ema", "zoo.training.averages:rebuild", arguments)


if __name__ == "__main__":
    main()
