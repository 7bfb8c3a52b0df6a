"""The conformance suite: what every sampler must do, checked on data with a known answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.conformance.suite import CHECKS as CHECKS
    from zoo.conformance.suite import conformance as conformance
    from zoo.conformance.verdict import Check as Check
    from zoo.conformance.verdict import Verdict as Verdict

__all__ = ["CHECKS", "Check", "Verdict", "conformance"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'zoo.conformance' has no attribute {name!r}")
    from zoo.conformance import suite  # torch would slow `zoo check --help` down

    return getattr(suite, name)
