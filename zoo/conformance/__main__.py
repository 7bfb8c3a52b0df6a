"""``zoo check``: the conformance suite on a sampler, a verdict for each property."""

from __future__ import annotations

from collections.abc import Sequence

from zoo import entry


def main(argv: Sequence[str] | None = None) -> None:
    """The verb."""
    entry.run("check", "check", "zoo.conformance.report:check", argv)


if __name__ == "__main__":
    main()
