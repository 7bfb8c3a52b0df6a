"""``zoo sample``: images from a saved model, as a grid, single files or one array."""

from __future__ import annotations

from collections.abc import Sequence

from zoo import entry


def main(argv: Sequence[str] | None = None) -> None:
    """The verb."""
    entry.run("sample", "sample", "zoo.command.sample:sample", argv)


if __name__ == "__main__":
    main()
