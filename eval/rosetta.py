"""``zoo rosetta``: one set of images under every available FID protocol."""

from __future__ import annotations

from collections.abc import Sequence

from zoo import entry


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb."""
    entry.run("rosetta", "rosetta", "eval.study.rosetta:rosetta", argv, ("checkpoint", "images"))


if __name__ == "__main__":
    main()
