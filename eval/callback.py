"""KID and FID on the way of a training, by all of its processes together."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from eval.metric.few_images import Few
from eval.result.uncertainty import Estimate
from eval.source.generated import Conditions, conditions
from eval.source.reference_set import ReferenceSet
from zoo.callbacks import averaged
from zoo.callbacks.after_step import AfterStep, log
from zoo.system.progress import sampling, track


class EvaluateWhileTraining(AfterStep):
    """Every N steps and at the end: KID and FID of some generated images, with their intervals.

    Logs ``evaluation/kid_<extractor>`` and ``evaluation/fid_<extractor>_<images>``, each with
    ``_low`` and ``_high``, the ends of its 95% interval, to every logger and to
    ``trainer.callback_metrics``, where Lightning's ModelCheckpoint and EarlyStopping find them. The
    images are made with the averaged weights, where the recipe averages, by the model's own sampler
    and guidance, and are the same ones every time: image i depends on ``seed`` and i alone.

    KID is over all pairs and unbiased, so it may be compared with a KID at any count. FID at few
    images lies far above FID of many: it says whether a training gets better, not how good it is,
    and compares only with itself.

    Every process makes an equal share of the images and of the reference's features, and all
    compute the numbers from all features: none waits for work that another does alone. Training
    goes on bit for bit as it would have without: no random state, mode or weight is left changed.
    Modules that do not generate are passed over. Processes must hold whole models (DDP).

    Args:
        extractor: an ``eval.extractor``, or a partial of its class, which is called with the
            training's ``device``; a ``path`` of it may name a checkpoint that ships.
        every_n_steps: steps between two evaluations; None evaluates with every validation.
        num_images: generated, by all processes together; at least 20 for an interval.
        num_reference: training images that are compared with, evenly spaced; all where they are
            fewer. Their features are computed once.
        seed: of the images.
        batch_size: images at a time in a process.

    Attributes:
        latest: the numbers of the last evaluation, by name.

    Raises:
        ValueError: an argument is impossible. When the training begins: the extractor's weights are
            missing, or the data have no captions for a model that reads them.
    """

    def __init__(
        self,
        extractor: Any,
        every_n_steps: int | None = 1000,
        num_images: int = 256,
        num_reference: int = 10_000,
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"every_n_steps is positive, or null, got {every_n_steps}")
        if min(num_images, num_reference) < 2 or batch_size < 1:
            raise ValueError(
                "num_images and num_reference are at least 2 and batch_size at least 1, got "
                f"{num_images}, {num_reference}, {batch_size}"
            )
        self.extractor = extractor
        self.every_n_steps, self.num_images = every_n_steps, num_images
        self.num_reference, self.seed, self.batch_size = num_reference, seed, batch_size
        self.latest: dict[str, float] = {}
        self._measured_at = -1
        self._wanted: Conditions | None = None
        self._reference: Few | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Lightning puts the recipe's averages behind every other callback: this one goes behind
        # them, so that what is measured after step n are the averages of step n.
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        others = [c for c in callbacks if c is not self]
        states = [c for c in others if isinstance(c, Checkpoint)]
        rest = [c for c in others if not isinstance(c, Checkpoint)]
        trainer.callbacks = [*rest, self, *states]  # type: ignore[attr-defined]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if hasattr(pl_module, "generate"):
            with isolate_rng():
                self._prepare(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._measured_at = trainer.global_step

    def after_step(self, trainer: Trainer, module: LightningModule) -> None:
        if self.every_n_steps is None:
            return
        last = trainer.global_step == trainer.max_steps
        if last or trainer.global_step % self.every_n_steps == 0:
            self.measure(trainer, module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.every_n_steps is None and not trainer.sanity_checking:
            self.measure(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._measured_at != trainer.global_step:  # ended by time or by another callback
            self.measure(trainer, pl_module)

    def measure(self, trainer: Trainer, module: Any) -> dict[str, float]:
        """Evaluates now, on every process: numbers by name, none of a module without images."""
        if not hasattr(module, "generate"):
            return {}
        self._measured_at = trainer.global_step
        with isolate_rng():
            wanted, reference = self._prepare(trainer, module)
            with averaged(module), _modes(module), torch.inference_mode():
                features = self._features(trainer, module, wanted, reference)
            features = gathered(trainer, features)
            found = {
                f"kid_{self.extractor.name}": reference.kid(features),
                f"fid_{self.extractor.name}_{self.num_images}": reference.fid(features),
            }
        self.latest = _values(found)
        log(trainer, self.latest)
        tensors = {name: torch.tensor(value) for name, value in self.latest.items()}
        trainer.callback_metrics.update(tensors)
        return self.latest

    def _prepare(self, trainer: Trainer, module: Any) -> tuple[Conditions, Few]:
        """What the images are made for and what they are held against; found once."""
        if self._wanted is None or self._reference is None:
            data: Any = getattr(trainer, "datamodule", None)
            if getattr(data, "train", None) is None:
                raise ValueError(
                    "evaluation while training compares with the training split: fit with a data "
                    "module of zoo.data, which has one"
                )
            self.extractor = _built(self.extractor, trainer.strategy.root_device)
            guidance = getattr(module, "guidance", None)
            self._wanted = conditions(module, ReferenceSet.of(data), self.num_images, guidance)
            self._reference = self._made(trainer, data.train)
        return self._wanted, self._reference

    def _made(self, trainer: Trainer, split: Any) -> Few:
        """The reference, each process computing its share of the features."""
        count = min(self.num_reference, len(split))
        if count < trainer.world_size:
            raise ValueError(f"{count} training images cannot be shared by all processes")
        rows = torch.linspace(0, len(split) - 1, count, dtype=torch.float64).round().long()
        pieces: Any = rows[share(count, trainer)].split(self.batch_size)
        if trainer.is_global_zero:
            pieces = track(pieces, len(pieces), "features of the reference", "batches")
        with torch.inference_mode():
            found = [self.extractor(split.gather(piece))["pool"] for piece in pieces]
        whole = gathered(trainer, torch.cat(found))
        if trainer.is_global_zero and self.num_images <= whole.shape[1]:
            print(
                f"evaluation/fid_{self.extractor.name}_{self.num_images}: no more images than the "
                f"{whole.shape[1]} dimensions of a feature, so it is far above FID of many images; "
                "trust the KID",
                file=sys.stderr,
            )
        return Few(whole)

    def _features(
        self, trainer: Trainer, module: Any, wanted: Conditions, reference: Few
    ) -> Tensor:
        """Features of this process' share of the images, (n, D)."""
        mine, found = share(self.num_images, trainer), [reference.features[:0]]
        size = min(self.batch_size, max(1, mine.stop - mine.start))
        shown = trainer.is_global_zero
        with sampling(module, mine.stop - mine.start, size) if shown else nullcontext() as on_step:
            for first in range(mine.start, mine.stop, size):
                rows = slice(first, min(first + size, mine.stop))
                condition = None if wanted.raw is None else wanted.raw[rows]
                indices = range(rows.start, rows.stop)
                with trainer.precision_plugin.forward_context():  # of the model, not the extractor
                    images = module.generate(
                        len(indices), condition, seed=self.seed, indices=indices, on_step=on_step
                    )
                found.append(self.extractor(images)["pool"])
        return torch.cat(found)


def share(count: int, trainer: Trainer) -> slice:
    """This process' part of ``count`` things: parts differ by one at most and follow the ranks."""
    world, rank = trainer.world_size, trainer.global_rank
    return slice(count * rank // world, count * (rank + 1) // world)


def gathered(trainer: Trainer, rows: Tensor) -> Tensor:
    """The rows (n, D) of all processes in the order of their ranks, on the CPU of each."""
    if trainer.world_size == 1:
        return rows
    from torchmetrics.utilities.distributed import gather_all_tensors

    parts = gather_all_tensors(rows.to(trainer.strategy.root_device))  # n may differ
    return torch.cat([part.cpu() for part in parts])


@contextmanager
def _modes(module: Any) -> Iterator[None]:
    """Within, the mode of every submodule may change; afterwards it is what it was."""
    before = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


def _built(extractor: Any, device: torch.device) -> Any:
    """The extractor on a device; a ``path`` among the checkpoints that ship is its file's."""
    if not isinstance(extractor, functools.partial | type):
        return extractor
    path = getattr(extractor, "keywords", {}).get("path")
    return extractor(device=str(device), **({"path": _shipped(path)} if path else {}))


def _shipped(path: Any) -> Any:
    from zoo.paths import checkpoints

    file = checkpoints() / f"{path}.safetensors"
    return file if file.is_file() else path


def _values(found: dict[str, Estimate]) -> dict[str, float]:
    """The numbers as trackers get them; ends that are infinite are left out."""
    values: dict[str, float] = {}
    for name, estimate in found.items():
        ends = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
        values |= {f"evaluation/{name}{end}": x for end, x in ends.items() if math.isfinite(x)}
    return values
