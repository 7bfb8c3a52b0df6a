"""``zoo reproduce``: measures the rows of a paper's table again, and compares the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from zoo import entry


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb; the exit code is 1 where a row that was run is not reproduced."""
    entry.run("reproduce", "reproduce", "eval.study.reproduction:reproduce", argv, ("table",))


if __name__ == "__main__":
    main()
