"""The origin of trained weights, as a saved file records it."""

from __future__ import annotations

from typing import Any

from lightning import Trainer
from omegaconf import DictConfig

from zoo import checkpoint
from zoo.callbacks import EMA, Loss, Throughput
from zoo.callbacks.scale_by_std import LatentScale
from zoo.checkpoint.published import checkpoint_file
from zoo.system.device import accelerator, device_name
from zoo.trainable import Trainable
from zoo.training.parts import wants_autoencoder


def training_provenance(
    cfg: DictConfig, module: Trainable, data: Any, trainer: Trainer
) -> dict[str, Any]:
    """The origin of the trained weights, in plain values; see ``zoo.checkpoint.provenance``."""
    optimizer = trainer.optimizers[0]
    ema = module.recipe.ema if module.recipe is not None else None
    throughput, loss = _find(trainer, Throughput), _find(trainer, Loss)
    averaged = isinstance(ema, EMA) and bool(ema.averages)
    return {
        "model": type(module).__name__,
        "weights": "ema" if averaged else "raw",
        "data": {
            "name": data.name,
            "shape": list(data.shape),
            "condition": data.condition,
            "train_images": len(data.train),
            "test_images": len(data.test),
        },
        "budget": {
            "data_fingerprint": data.fingerprint,
            "images_seen": throughput.images_seen if throughput else None,
            "batch_size": data.batch_size * trainer.accumulate_grad_batches,
            "optimizer": type(optimizer).__name__,
            "learning_rate": float(optimizer.defaults["lr"]),
            "lr_scheduler": _call_text(cfg.recipe.get("lr_scheduler")),
            "gradient_clip": trainer.gradient_clip_val,
            "ema": f"decay {ema.decay:g}" if averaged else "none",  # type: ignore[union-attr]
            "seed": cfg.seed,
            "precision": str(trainer.precision),
            "device": _devices(trainer, accelerator(cfg.trainer.accelerator)),
        },
        "steps": trainer.global_step,
        "training_seconds": round(throughput.seconds, 1) if throughput else None,
        "autoencoder": _autoencoder(cfg, data, trainer) if wants_autoencoder(cfg) else None,
        "history": loss.curve() if loss else [],
    }


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


def _devices(trainer: Trainer, device: str) -> str:
    name = device_name(device)
    return name if trainer.world_size == 1 else f"{trainer.world_size} x {name}"


def _call_text(node: Any) -> str | None:
    """A partial's config as a call, such as ``warmup(num_steps=500)``."""
    if node is None:
        return None
    arguments = [f"{k}={v}" for k, v in node.items() if k not in ("_target_", "_partial_")]
    return f"{node['_target_'].rpartition('.')[2]}({', '.join(arguments)})"


def _find(trainer: Trainer, kind: type) -> Any:
    return next((c for c in trainer.callbacks if isinstance(c, kind)), None)  # type: ignore[attr-defined]
