"""The origin of trained weights, as a saved file records it."""

from __future__ import annotations

from typing import Any

from lightning import Trainer
from omegaconf import DictConfig

from zoo import checkpoint
from zoo.averages.length import in_words
from zoo.callbacks import EMA, AverageSnapshots, Loss, Throughput
from zoo.callbacks.scale_by_std import LatentScale
from zoo.checkpoint.published import checkpoint_file
from zoo.trainable import Trainable, processed_batches
from zoo.training.parts import wants_autoencoder
from zoo.training.run.record import Record


def training_provenance(
    cfg: DictConfig, module: Trainable, data: Any, trainer: Trainer, record: Record
) -> dict[str, Any]:
    """The origin of the trained weights, in plain values; see ``zoo.checkpoint.provenance``."""
    optimizer = trainer.optimizers[0]
    ema = module.recipe.ema if module.recipe is not None else None
    throughput, loss = _find(trainer, Throughput), _find(trainer, Loss)
    average = ema.lengths[ema.main].facts if isinstance(ema, EMA) and ema.averages else None
    return {
        "model": type(module).__name__,
        "weights": "raw" if average is None else "ema",
        "average": None if average is None else {**average, "main": True, **_snapshots(trainer)},
        "data": {
            "name": data.name,
            "shape": list(data.shape),
            "condition": data.condition,
            "train_images": len(data.train),
            "test_images": len(data.test),
        },
        "budget": {
            "data_fingerprint": data.fingerprint,
            "images_seen": processed_batches(trainer) * data.batch_size,
            "batch_size": data.batch_size * trainer.accumulate_grad_batches,
            "optimizer": type(optimizer).__name__,
            "learning_rate": float(optimizer.defaults["lr"]),
            "lr_scheduler": _call_text(cfg.recipe.get("lr_scheduler")),
            "gradient_clip": trainer.gradient_clip_val,
            "ema": "none" if average is None else in_words(average),
            "seed": cfg.seed,
            "precision": str(trainer.precision),
            "device": record.device,
            "changes": record.changes_text,
        },
        "steps": trainer.global_step,
        "training_seconds": round(record.seconds, 1),
        "cost": throughput.facts(module) if throughput else None,
        "devices": record.devices,
        "settings": {key: value for key, value in record.settings.items() if key != "model"},
        "changes": record.changes,
        "autoencoder": _autoencoder(cfg, data, trainer) if wants_autoencoder(cfg) else None,
        "history": loss.curve() if loss else [],
    }


def _snapshots(trainer: Trainer) -> dict[str, str]:
    """The key of the training's snapshots, where it takes any."""
    snapshots = _find(trainer, AverageSnapshots)
    return {"training": snapshots.training} if snapshots and snapshots.training else {}


def _autoencoder(cfg: DictConfig, data: Any, trainer: Trainer) -> dict[str, Any]:
    file, scale = checkpoint_file(cfg.autoencoder), _find(trainer, LatentScale)
    kept = getattr(getattr(data, "moments", None), "entry", None)
    return {
        "sha256": checkpoint.sha256(file),
        "provenance": checkpoint.provenance(file),
        "scale": scale.source if scale else "its own",
        "latents": f"cached, {kept.dtype}" if kept else "encoded in each step",
        "latents_key": kept.key if kept else None,
    }


def _call_text(node: Any) -> str | None:
    """A partial's config as a call, such as ``warmup(num_steps=500)``."""
    if node is None:
        return None
    arguments = [f"{k}={v}" for k, v in node.items() if k not in ("_target_", "_partial_")]
    return f"{node['_target_'].rpartition('.')[2]}({', '.join(arguments)})"


def _find(trainer: Trainer, kind: type) -> Any:
    return next((c for c in trainer.callbacks if isinstance(c, kind)), None)  # type: ignore[attr-defined]
