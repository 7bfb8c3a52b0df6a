"""The contract of a guidance: a raw predict function in, one that a sampler can walk with out."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn

from zoo.records import Clip, Condition, Predict, RawPredict


class Guidance(Protocol):
    """Mixes predictions; samplers do not know it exists.

    Two attributes more are read where they are there: ``networks``, name to network, of a guidance
    that holds others than the model's own; and ``num_classes`` of one that needs labels in
    ``condition.raw``, so that labels can be drawn for a model that knows none.
    """

    @property
    def needs_null(self) -> bool:
        """Whether a null condition is used, which a model must have been trained on."""

    def __call__(
        self, predict: RawPredict, condition: Condition, null: Condition | None, clip: Clip
    ) -> Predict:
        """Returns the guided predict; ``clip`` is applied once, after mixing.

        Args:
            predict: (x, level, condition) to a prediction that is not clipped.
            condition: of the images that will be made, (B, ...).
            null: the same number of null conditions; given where ``needs_null``.
            clip: x0 to x0.
        """


def described(network: Any) -> str:
    """What a guidance was given for a network, for an error's text."""
    if isinstance(network, str):
        return (
            f"the text '{network}'; only zoo sample and zoo evaluate load a file, elsewhere give "
            "zoo.load(...)"
        )
    return f"a {type(network).__name__}"


def networks(guidance: Any) -> list[tuple[str, nn.Module]]:
    """The networks beside the model's own, by name: the guidance's, and those of one inside it."""
    found = list(getattr(guidance, "networks", {}).items())
    inner = getattr(guidance, "guidance", None)
    return found if inner is None else found + networks(inner)


def num_classes(guidance: Any) -> int | None:
    """How many labels the guidance, or one inside it, knows; None where it needs none."""
    classes = getattr(guidance, "num_classes", None)
    inner = getattr(guidance, "guidance", None)
    return num_classes(inner) if classes is None and inner is not None else classes
