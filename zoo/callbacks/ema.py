"""The exponential moving average of the trained weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from zoo.callbacks.after_step import AfterStep, step_skipped


class EMA(AfterStep):
    """Averages the trained parameters after every optimizer step, in float32.

    Frozen parameters and buffers are left out: a frozen first stage is neither copied nor
    averaged. Validation and sample grids see the averages.

    Args:
        decay: the share of the old average that one step keeps; DDPM uses 0.9999.
        warmup: start with ``min(decay, (1 + n) / (10 + n))`` after ``n`` steps, so that a short
            training is not dominated by the initial weights.

    Raises:
        ValueError: ``decay`` is not in [0, 1).
    """

    def __init__(self, decay: float = 0.9999, warmup: bool = True) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"EMA decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.warmup = warmup
        self.num_updates = 0
        self.averages: dict[str, Tensor] = {}
        self._originals: list[tuple[nn.Parameter, Tensor]] = []  # while the averages are applied
        self._depth = 0

    def decay_at(self, num_updates: int) -> float:
        """The decay of the next update after ``num_updates`` of them."""
        early = (1 + num_updates) / (10 + num_updates)
        return min(self.decay, early) if self.warmup else self.decay

    @torch.no_grad()
    def start(self, module: nn.Module) -> None:
        """Begins with the trained parameters, or moves restored averages to their devices."""
        parameters = _parameters(module)
        if not self.averages:
            self.averages = {name: p.detach().float().clone() for name, p in parameters.items()}
        if difference := sorted(self.averages.keys() ^ parameters.keys()):
            raise ValueError(
                f"the averages are of other parameters than those trained now: {difference[:3]} "
                "...; resume with the model the training began with"
            )
        for name, parameter in parameters.items():
            self.averages[name] = self.averages[name].to(parameter.device)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """One step of the averages towards ``module``'s trained parameters."""
        parameters = _parameters(module)
        averages = [self.averages[name] for name in parameters]
        values = [parameter.detach().float() for parameter in parameters.values()]
        torch._foreach_lerp_(averages, values, 1 - self.decay_at(self.num_updates))
        self.num_updates += 1

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Within, ``module`` has the averages as weights; may be nested.

        Raises:
            ValueError: there are no averages yet.
        """
        self._swap_in(module)
        try:
            yield
        finally:
            self._swap_out()

    @torch.no_grad()
    def _swap_in(self, module: nn.Module) -> None:
        if not self.averages:
            raise ValueError("there are no averages yet: train first")
        self._depth += 1
        if self._depth == 1:
            parameters = _parameters(module)
            self._originals = [(p, p.detach().clone()) for p in parameters.values()]
            for name, parameter in parameters.items():
                parameter.copy_(self.averages[name])

    @torch.no_grad()
    def _swap_out(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            for parameter, value in self._originals:
                parameter.copy_(value)
            self._originals = []

    def state_dict(self) -> dict[str, Any]:
        return {"num_updates": self.num_updates, "averages": dict(self.averages)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.num_updates = state_dict["num_updates"]
        self.averages = {name: value.clone() for name, value in state_dict["averages"].items()}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start(pl_module)

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        if not step_skipped(module):
            self.update(module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.averages:  # trainer.validate alone sees the model's own weights
            self._swap_in(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._depth:
            self._swap_out()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if self._depth:  # in the middle of a validation
            self._depth = 1
            self._swap_out()


def _parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def averaged(module: nn.Module) -> AbstractContextManager[None]:
    """Within, a module whose recipe averages weights has the averages; others are unchanged."""
    ema = getattr(getattr(module, "recipe", None), "ema", None)
    return nullcontext() if ema is None or not ema.averages else ema.applied(module)
