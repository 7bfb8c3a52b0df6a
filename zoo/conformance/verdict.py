"""A check's verdict on a sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zoo.sampler import Sampler


class Verdict(NamedTuple):
    """One property of a sampler.

    Attributes:
        property: what was checked.
        passed: None where it does not apply to this sampler.
        detail: the measurement, in words.
        asks: what the check asks and why, in a line; ``conformance`` fills it in.
    """

    property: str
    passed: bool | None
    detail: str
    asks: str = ""


Check = Callable[[Sampler], Verdict]
"""A sampler in, a verdict out; an exception is a failure whose text is the detail."""
