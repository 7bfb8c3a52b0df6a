"""The time of each example of a training step, and the quarters of all times."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, distributed

from zoo.system.processes import rank_and_count

QUARTILES = 4


def quartile(t: Tensor, end: float) -> Tensor:
    """The quartile 0..3 of times t (B,) in (0, end]; for integer times all four are equally large.

    >>> quartile(torch.tensor([1.0, 250.0, 251.0, 1000.0]), 1000).tolist()
    [0, 0, 1, 3]
    """
    return (t * QUARTILES / end).ceil().long().sub(1).clamp(0, QUARTILES - 1)


class TimeSampler(Protocol):
    """Turns uniform numbers into times and their importance weights."""

    def sample(self, uniform: Tensor, end: float) -> tuple[Tensor, Tensor]:
        """uniform: (B,) float64 in [0, 1). Returns t (B,) float64 in 1..end and weights (B,)."""

    def update(self, t: Tensor, loss: Tensor) -> None:
        """Learns from the losses (B,) seen at t (B,)."""

    def state_dict(self) -> dict[str, Any]:
        """The history, as tensors and plain containers, for a training's state."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what an earlier part of the training learned."""


class _Memoryless:
    def update(self, t: Tensor, loss: Tensor) -> None:
        """Nothing to learn."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing was learned."""


class Uniform(_Memoryless):
    """Every integer time is equally likely."""

    def sample(self, uniform: Tensor, end: float) -> tuple[Tensor, Tensor]:
        return (uniform * end).floor() + 1, torch.ones_like(uniform)


class Stratified(_Memoryless):
    """One time in each of B equal strata, so a batch covers all noise levels evenly.

    Stratum ``j`` goes to example ``j`` of the batch of all processes, hence the draw depends on the
    position in the batch, and on how it is accumulated.
    """

    def sample(self, uniform: Tensor, end: float) -> tuple[Tensor, Tensor]:
        rank, processes = rank_and_count()
        size = len(uniform)
        strata = torch.arange(rank * size, (rank + 1) * size, dtype=uniform.dtype)
        spread = (strata + uniform) / (processes * size)
        return (spread * end).floor() + 1, torch.ones_like(uniform)


class LossSecondMoment:
    """Times in proportion to sqrt(E[loss^2]), weighted back (Improved DDPM, section 3.3).

    Uniform until every time has a full history. The times follow the losses of all processes, so
    each step waits for the device once. Losses that are not finite teach nothing.

    Args:
        history: how many of a time's latest losses its second moment is made of.
        uniform_share: the share of draws that stay uniform, so that no time is forgotten.

    Raises:
        ValueError: an argument is impossible.
    """

    def __init__(self, history: int = 10, uniform_share: float = 0.001) -> None:
        if history < 1 or not 0 <= uniform_share <= 1:
            raise ValueError(
                "history is at least 1 and uniform_share lies in [0, 1], got "
                f"{history} and {uniform_share}"
            )
        self.history = history
        self.uniform_share = uniform_share
        self._losses = torch.zeros(0, history, dtype=torch.float64)  # a ring per time
        self._counts = torch.zeros(0, dtype=torch.int64)  # losses seen per time

    def probabilities(self, end: float) -> Tensor:
        """Of the times 1..end: (T,) float64."""
        self._allot(int(end))
        if int(self._counts.min()) < self.history:
            return torch.full_like(self._losses[:, 0], 1 / len(self._losses))
        moments = self._losses.square().mean(1).sqrt()
        shares = moments / moments.sum()
        return (1 - self.uniform_share) * shares + self.uniform_share / len(shares)

    def sample(self, uniform: Tensor, end: float) -> tuple[Tensor, Tensor]:
        shares = self.probabilities(end)
        index = torch.searchsorted(shares.cumsum(0), uniform, right=True).clamp(max=len(shares) - 1)
        return index.to(uniform) + 1, 1 / (len(shares) * shares[index])

    def update(self, t: Tensor, loss: Tensor) -> None:
        times, losses = _of_all_processes(t, loss)
        times, losses = times[losses.isfinite()], losses[losses.isfinite()]
        if not len(times):
            return
        self._allot(int(times.max()))
        ring, counts = self._losses.numpy(), self._counts.numpy()  # the tensors' own memory
        for row, value in zip((times.long() - 1).tolist(), losses.tolist(), strict=True):
            ring[row, counts[row] % self.history] = value
            counts[row] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self._losses.clone(), "counts": self._counts.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        losses = state["losses"]
        if losses.shape[1] != self.history:
            raise ValueError(
                f"the training kept {losses.shape[1]} losses per time, the recipe asks for "
                f"{self.history}: set recipe.time_sampler.history={losses.shape[1]}"
            )
        self._losses, self._counts = losses.clone(), state["counts"].clone()

    def _allot(self, rows: int) -> None:
        """Makes room for ``rows`` times."""
        missing = rows - len(self._losses)
        if missing > 0:
            more = self._losses.new_zeros(missing, self.history)
            self._losses = torch.cat([self._losses, more])
            self._counts = torch.cat([self._counts, self._counts.new_zeros(missing)])


def _of_all_processes(t: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    """Times and losses of the whole batch on the CPU, in the processes' order."""
    loss = loss.detach().float()
    both = torch.stack([t.to(loss.device, loss.dtype), loss])  # integers to 2^24 are exact
    if (processes := rank_and_count()[1]) > 1:
        parts = [torch.empty_like(both) for _ in range(processes)]
        distributed.all_gather(parts, both)
        both = torch.cat(parts, dim=1)
    times, losses = both.cpu()
    return times, losses
