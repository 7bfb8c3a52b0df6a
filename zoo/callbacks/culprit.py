"""What was not finite in a step: which tensor, and of which images."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from zoo.callbacks.after_step import Outputs
from zoo.records import Batch
from zoo.system.finite import first_not_finite, is_finite
from zoo.system.processes import objects

_SHOWN = 12  # images named in a message


class Finding(NamedTuple):
    """What one process, or all of them together, saw.

    Attributes:
        rank: 0 a tensor of the model's state, 1 images, 2 a loss, 3 a gradient, 4 nothing.
        what: in words.
        images: indices of the images it comes from, as far as known.
    """

    rank: int
    what: str
    images: list[int]


class Culprit:
    """One step's batches and optimizers, and what was not finite among them.

    Attributes:
        optimizers: those that made a step, or would have.
    """

    def __init__(self) -> None:
        self.optimizers: list[Optimizer] = []
        self._finding = Finding(4, "something", [])
        self._images: list[tuple[Tensor | None, Tensor | None]] = []  # indices, losses
        self._last: Batch | None = None

    def see(self, outputs: Outputs, batch: Batch) -> None:
        """Keeps what a batch is told by; the images of the last one alone."""
        self._images.append((batch.indices, outputs.get("loss_per_image")))
        self._last = batch

    def find(self, module: Any, loss: Tensor) -> None:
        """Names the tensor, while there are gradients; the first one counts."""
        if self._finding.rank < 4:
            return
        gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        if name := first_not_finite(module.state_dict()):
            self._finding = Finding(0, f"{name} is not finite", [])
        elif not is_finite(loss):
            self._finding = Finding(2, f"the loss is {loss.sum().item()}", [])
        elif name := first_not_finite(list(gradients.values())):
            name = list(gradients)[int(name)]
            self._finding = Finding(3, f"the gradient of {name} is not finite", [])

    def of_all_processes(self) -> Finding:
        """The worst finding, with its process's images; every process calls it."""
        images = self._last.images if self._last is not None else None
        mine = self._finding
        if mine.rank > 0 and images is not None and not is_finite(images):
            mine = Finding(1, "the images are not finite", [])
        findings = objects(mine._replace(images=self._indices()))
        worst = min(findings)
        equals = [f.images for f in findings if f.rank == worst.rank > 0]
        return worst._replace(images=sorted({i for part in equals for i in part}))

    def _indices(self) -> list[int]:
        """Images whose own losses are not finite; all of the step's where none is told apart."""
        known = [(i, v) for i, v in self._images if i is not None]
        apart = [i[~torch.isfinite(v).to(i.device)] for i, v in known if v is not None]
        if sum(map(len, apart)) == 0:
            apart = [i for i, _ in known]
        return [int(index) for part in apart for index in part.tolist()]


def in_words(finding: Finding) -> str:
    """The tensor and the images, as one clause."""
    shown = ", ".join(map(str, finding.images[:_SHOWN]))
    more = len(finding.images) - _SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return finding.what + (f" (training images {shown}{rest})" if shown else "")
