"""``zoo statistics``: the moments of a reference set's features, as a file to compare with."""

from __future__ import annotations

from collections.abc import Sequence

from zoo import entry


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb."""
    entry.run("statistics", "statistics", "eval.study.statistics:statistics", argv)


if __name__ == "__main__":
    main()
