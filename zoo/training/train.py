"""The task of ``zoo train``: data, model, loggers, callbacks, trainer; then fit and save."""

from __future__ import annotations

from pathlib import Path

from lightning import seed_everything
from omegaconf import DictConfig

from zoo.logger import wandb
from zoo.training import parts
from zoo.training import trainer as setup
from zoo.training.encodings import use_encodings
from zoo.training.ending import Ending
from zoo.training.provenance import training_provenance


def train(cfg: DictConfig) -> Path:
    """Trains what ``cfg`` (configs/train.yaml) describes.

    Returns:
        The file of the trained model, ``<run_dir>/model.safetensors``: averaged weights where the
        recipe averages, config and provenance. It is there before the last pictures are drawn.
        With ``cache_only`` nothing is trained; it is the folder of what was encoded.

    Raises:
        ValueError: the parts of ``cfg`` do not go together; nothing has been trained then.
        SystemExit: with code 130, when Ctrl-C ended the training.
    """
    setup.quiet()
    run_dir = Path(cfg.run_dir)
    ckpt_path = setup.checkpoint_to_resume(cfg.ckpt_path, run_dir)
    if ckpt_path is not None:
        setup.check_resumed(cfg, run_dir, ckpt_path)
    seed_everything(cfg.seed, verbose=False)
    data = parts.data_module(cfg)
    module = parts.module(cfg, data)
    entries = use_encodings(cfg, module, data)
    if cfg.cache_only:
        return entries[0].folder
    if ckpt_path is None:
        setup.set_aside(run_dir)
    loggers = setup.loggers(cfg)
    ending = Ending(
        run_dir / "model.safetensors",
        lambda trainer: training_provenance(cfg, module, data, trainer),
    )
    trainer = setup.trainer(cfg, loggers, ending)
    setup.write_config(cfg, run_dir, loggers)
    setup.fit(trainer, module, data, ckpt_path, ending)
    wandb.finish(loggers)
    return ending.path
