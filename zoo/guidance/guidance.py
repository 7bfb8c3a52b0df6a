"""The contract of a guidance: a raw predict function in, one that a sampler can walk with out."""

from __future__ import annotations

from typing import Any, Protocol

from zoo.records import Clip, Condition, Predict, RawPredict


class Guidance(Protocol):
    """Mixes predictions; samplers do not know it exists.

    Two more attributes are read where they exist: ``networks``, name to network, of a guidance
    with networks beside the model's own; and ``num_classes`` of one that needs labels in
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
            null: the same number of null conditions; not None where ``needs_null``.
            clip: x0 to x0.
        """


def network_description(network: object) -> str:
    """An object that is no network, in an error's words."""
    if isinstance(network, str):
        return (
            f"the text '{network}'; only zoo sample and zoo evaluate load a file, elsewhere give "
            "zoo.load(...)"
        )
    return f"a {type(network).__name__}"


def networks(guidance: Guidance) -> list[tuple[str, Any]]:
    """The networks beside the model's own, by name: the guidance's, and those of one inside it."""
    own = list(getattr(guidance, "networks", {}).items())
    inner = getattr(guidance, "guidance", None)
    return own if inner is None else own + networks(inner)


def num_classes(guidance: Guidance | None) -> int | None:
    """The number of labels of a guidance, or of one inside it; None where it needs none."""
    classes = getattr(guidance, "num_classes", None)
    inner = getattr(guidance, "guidance", None)
    return num_classes(inner) if classes is None and inner is not None else classes
