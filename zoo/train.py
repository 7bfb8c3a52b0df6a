"""``zoo train``: trains a model and saves it as one file."""

from __future__ import annotations

from collections.abc import Sequence

from zoo import entry


def main(argv: Sequence[str] | None = None) -> None:
    """The verb."""
    entry.run("train", "train", "zoo.training.train:train", argv)


if __name__ == "__main__":
    main()
