"""Autoguidance: away from a weaker network (arXiv:2406.02507)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.guidance.guidance import network_description
from zoo.guidance.interval import Interval
from zoo.part import Part
from zoo.records import Clip, Condition, Level, Predict, Prediction, RawPredict


class AutoGuidance(Part):
    """Mixes x0 of the model and of a worse version of it: lerp(weak, model, scale) (eq. 3).

    Both see the same condition, so unlike classifier-free guidance it does not reduce variety, and
    unconditional models can be guided. The weak one may differ in size, training,
    parameterization and conditioner. Its evaluations are counted by itself. A learned variance is
    the model's.

    Args:
        weak: another model of the same schedule and the same space, for instance an earlier
            checkpoint; it builds its own condition from ``condition.raw``.
        scale: 1 is the model alone, above 1 is guided; the paper's w.
        interval: guide between these levels only, both included; None: at all.
        interval_in: what ``interval`` is in: t, log_snr, or sigma (of x / alpha).

    Raises:
        ValueError: ``weak`` is no diffusion model, or a setting out of its range.
    """

    needs_null = False

    def __init__(
        self,
        weak: Any,
        scale: float = 2.0,
        interval: Sequence[float] | None = None,
        interval_in: str = "t",
    ) -> None:
        if not hasattr(weak, "predict") or not hasattr(weak, "conditioner"):
            raise ValueError(
                "guidance.weak is not a diffusion model, such as a smaller or less trained version "
                f"of the guided one, but {network_description(weak)}"
            )
        if scale < 0:
            raise ValueError(
                f"the guidance scale must not be negative (1 the model alone), got {scale}"
            )
        self.weak = weak.eval()
        self.scale = scale
        self.interval, self.interval_in = interval, interval_in
        Interval(interval, interval_in)  # refuses impossible bounds

    @property
    def networks(self) -> dict[str, Any]:
        """The weaker model."""
        return {"weak": self.weak}

    def __call__(
        self, predict: RawPredict, condition: Condition, null: Condition | None, clip: Clip
    ) -> Predict:
        levels = Interval(self.interval, self.interval_in)
        weak_condition = None if self.scale == 1 else self._condition(condition)

        def guided(x: Tensor, level: Level) -> Prediction:
            strong = predict(x, level, condition)
            if weak_condition is None or level not in levels:
                return strong._replace(x0=clip(strong.x0))
            weak = self.weak.predict(x, level, weak_condition)
            return strong._replace(x0=clip(torch.lerp(weak.x0, strong.x0, self.scale)))

        return guided

    def _condition(self, condition: Condition) -> Condition:
        own = self.weak.conditioner(condition.raw)
        return own.to(self.weak.device)
