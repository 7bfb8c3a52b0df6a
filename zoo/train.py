"""``zoo train``: data, model, loggers, callbacks, trainer; then fit and save one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import entry

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(argv: Sequence[str] | None = None) -> None:
    """The verb."""
    entry.run("train", "train", "zoo.train:train", argv)


def train(cfg: DictConfig) -> Path:
    """Trains what ``cfg`` (configs/train.yaml) describes.

    Returns:
        The file of the trained model, ``<run_dir>/model.safetensors``: averaged weights where the
        recipe averages, config and provenance.

    Raises:
        ValueError: the parts of ``cfg`` do not go together; nothing has been trained then.
        SystemExit: with code 130, when Ctrl-C ended the training.
    """
    from lightning import seed_everything

    from zoo import run, wandb_run
    from zoo.callbacks import averaged

    run.quiet()
    run_dir = Path(cfg.run_dir)
    ckpt_path = run.checkpoint_to_resume(cfg.ckpt_path, run_dir)
    seed_everything(cfg.seed, verbose=False)
    data = run.data(cfg)
    module = run.module(cfg, data)
    if ckpt_path is None:
        run.set_aside(run_dir)
    loggers = run.loggers(cfg)
    trainer = run.trainer(cfg, loggers)
    run.write_config(cfg, run_dir, loggers)

    run.fit(trainer, module, data, ckpt_path, run_dir)

    facts = run.provenance(cfg, module, data, trainer)
    path = run_dir / "model.safetensors"
    if trainer.is_global_zero:
        with averaged(module):
            module.save(path, facts)
        print(f"saved {path}")
    wandb_run.log_model(loggers, path, facts)
    wandb_run.finish(loggers)
    return path


if __name__ == "__main__":
    main()
