"""``zoo convert``: published weights in, one file of this zoo out."""

from __future__ import annotations

from collections.abc import Sequence

from zoo import entry


def main(argv: Sequence[str] | None = None) -> None:
    """The verb."""
    entry.run("convert", "convert", "zoo.convert.convert:convert", argv)


if __name__ == "__main__":
    main()
