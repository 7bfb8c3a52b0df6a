"""Moving averages of the trained weights, of one length or several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from zoo.averages.length import lengths
from zoo.callbacks.after_step import AfterStep, step_skipped


class EMA(AfterStep):
    """Averages the trained parameters after every optimizer step, in float32.

    Frozen parameters and buffers are left out: a frozen first stage is neither copied nor
    averaged. Validation and sample grids see the main average.

    Args:
        decay: the share of the old average that one step keeps; DDPM uses 0.9999. Several make an
            average each.
        warmup: start with ``min(decay, (1 + n) / (10 + n))`` after ``n`` steps, so that a short
            training is not dominated by the initial weights.
        sigma_rel: lengths, as shares of the training, of power-function averages; from snapshots of
            two of them, such as 0.05 and 0.1, ``zoo ema`` makes any other. See
            ``zoo.averages.power``.
        main: which of these numbers is validated, drawn and saved as the model; the first decay, or
            the first ``sigma_rel`` where there is no decay, when None.

    Attributes:
        lengths: each average's length by its name, such as "0.9999", the main one first.
        every: each average by its name, and in it each parameter by its name.

    Raises:
        ValueError: a decay is not in [0, 1), or see ``zoo.averages.length.lengths``.
    """

    def __init__(
        self,
        decay: float | list[float] | None = 0.9999,
        warmup: bool = True,
        sigma_rel: float | list[float] | None = None,
        main: float | None = None,
    ) -> None:
        self.lengths = lengths(decay, warmup, sigma_rel, main)
        self.decay, self.warmup = decay, warmup
        self.main = next(iter(self.lengths))
        self.num_updates = 0
        self.every: dict[str, dict[str, Tensor]] = {name: {} for name in self.lengths}
        self._lists: _Lists | None = None
        self._originals: list[tuple[nn.Parameter, Tensor]] = []  # while the averages are applied
        self._depth = 0

    @property
    def averages(self) -> dict[str, Tensor]:
        """The main average: a tensor for each parameter; empty before the training starts."""
        return self.every[self.main]

    def decay_at(self, num_updates: int) -> float:
        """The decay of the main average's next update after ``num_updates`` of them."""
        return self.lengths[self.main].decay_at(num_updates)

    @torch.no_grad()
    def start(self, module: nn.Module) -> None:
        """Begins with the trained parameters, or moves restored averages to their devices."""
        parameters = _parameters(module)
        for name, averages in self.every.items():
            if not averages:
                averages = {key: p.detach().float().clone() for key, p in parameters.items()}
            if difference := sorted(averages.keys() ^ parameters.keys()):
                raise ValueError(
                    f"the averages are of other parameters than those trained now: "
                    f"{difference[:3]} ...; resume with the model the training began with"
                )
            self.every[name] = {k: averages[k].to(p.device) for k, p in parameters.items()}
        self._lists = _Lists.of(module, list(parameters.values()), self.every)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """One step of the averages towards ``module``'s trained parameters."""
        if self._lists is None or self._lists.module is not module:
            self.start(module)
        assert self._lists is not None
        values = self._lists.values()
        for name, averages in self._lists.averages.items():
            weight = 1 - self.lengths[name].decay_at(self.num_updates)
            torch._foreach_lerp_(averages, values, weight)
        self.num_updates += 1

    @contextmanager
    def applied(self, module: nn.Module, name: str | None = None) -> Iterator[None]:
        """Within, ``module`` has averages as weights: the main ones, or those of another length.

        May be nested; the outermost decides.

        Raises:
            ValueError: there are no averages yet.
        """
        self._swap_in(module, name)
        try:
            yield
        finally:
            self._swap_out()

    @torch.no_grad()
    def _swap_in(self, module: nn.Module, name: str | None = None) -> None:
        if not self.averages:
            raise ValueError("there are no averages yet: train first")
        self._depth += 1
        if self._depth == 1:
            parameters = _parameters(module)
            averages = self.every[self.main if name is None else name]
            self._originals = [(p, p.detach().clone()) for p in parameters.values()]
            for key, parameter in parameters.items():
                parameter.copy_(averages[key])

    @torch.no_grad()
    def _swap_out(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            for parameter, value in self._originals:
                parameter.copy_(value)
            self._originals = []

    def state_dict(self) -> dict[str, Any]:
        """The averages by name and parameter; one alone as ``{"averages": ...}``."""
        state: dict[str, Any] = {
            "num_updates": self.num_updates,
            "averages": dict(self.averages),
        }
        if len(self.every) > 1:
            state["main"] = self.main
            state["others"] = {k: dict(v) for k, v in self.every.items() if k != self.main}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over the averages of a state.

        Raises:
            ValueError: they are of other lengths.
        """
        main = state_dict.get("main", self.main)  # one alone has no name in a state
        every = {main: state_dict["averages"], **state_dict.get("others", {})}
        if list(every) != list(self.lengths):
            raise ValueError(
                f"the state has averages of the lengths {', '.join(every)}, recipe.ema says "
                f"{', '.join(self.lengths)}: resume with those the training began with"
            )
        self.num_updates = state_dict["num_updates"]
        self.every = {
            name: {key: value.clone() for key, value in averages.items()}
            for name, averages in every.items()
        }
        self._lists = None

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


class _Lists(NamedTuple):
    """What a step reads and writes, listed once: hundreds of tensors in one call."""

    module: nn.Module
    parameters: list[nn.Parameter]
    averages: dict[str, list[Tensor]]

    @classmethod
    def of(
        cls,
        module: nn.Module,
        parameters: list[nn.Parameter],
        every: dict[str, dict[str, Tensor]],
    ) -> _Lists:
        """The lists of a module's trained parameters and their averages."""
        return cls(module, parameters, {k: [*map(_local, v.values())] for k, v in every.items()})

    def values(self) -> list[Tensor]:
        """The parameters in float32: themselves, where they are."""
        local = [_local(parameter) for parameter in self.parameters]
        return [p if p.dtype == torch.float32 else p.float() for p in local]


def _local(tensor: Tensor) -> Tensor:
    """This process's share of a sharded tensor; any other tensor itself."""
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()


def _parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def averaged(module: nn.Module) -> AbstractContextManager[None]:
    """Within, a module whose recipe averages weights has the main average; others are unchanged."""
    ema = getattr(getattr(module, "recipe", None), "ema", None)
    return nullcontext() if ema is None or not ema.averages else ema.applied(module)
