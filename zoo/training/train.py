"""The task of ``zoo train``: data, model, loggers, callbacks, trainer; then fit and save."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from lightning import seed_everything
from omegaconf import DictConfig, OmegaConf

from zoo.checkpoint.name import MODEL_FILE
from zoo.logger import wandb
from zoo.system.device import accelerator, device_name
from zoo.training import parts
from zoo.training import trainer as setup
from zoo.training.distributed.group import first, in_turn, processes
from zoo.training.distributed.requeue import queued_again
from zoo.training.encodings import use_encodings
from zoo.training.ending import Ending
from zoo.training.provenance import training_provenance
from zoo.training.run import contents, resume
from zoo.training.run.folder import RunFolder, state_to_resume
from zoo.training.run.record import Record


def train(cfg: DictConfig) -> Path:
    """Trains what ``cfg`` (configs/train.yaml) describes.

    Returns:
        The file of the trained model, ``<run_dir>/model.safetensors``: averaged weights where the
        recipe averages, config and provenance. It is there before the last pictures are drawn.
        With ``cache_only`` nothing is trained; it is the folder of what was encoded.

    Raises:
        ValueError: the parts of ``cfg`` do not go together, the run is in use, or its state was
            made under other settings; nothing has been trained then.
        SystemExit: with code 130, when Ctrl-C ended the training.
    """
    setup.quiet()
    with queued_again(), processes(cfg) as agreed:
        if agreed.cache_only:
            return _encode(agreed)
        run_dir = Path(agreed.run_dir)
        first(lambda: state_to_resume(agreed.ckpt_path, run_dir))
        with RunFolder(run_dir, agreed.ckpt_path) as folder:
            return _train(agreed, folder)


def _encode(cfg: DictConfig) -> Path:
    """Writes what a training would read in place of encoding it; its folder."""
    with in_turn():
        data = parts.data_module(cfg)
        return use_encodings(cfg, parts.module(cfg, data), data)[0].folder


def _train(cfg: DictConfig, folder: RunFolder) -> Path:
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    model_file = folder.path / MODEL_FILE
    parts.check_first_stage(cfg)
    path = first(lambda: state_to_resume(cfg.ckpt_path, folder.path))
    state = None if path is None else resume.read(path)
    settings = contents.settings_here(config)
    if state is None and cfg.allow_changes and cfg.ckpt_path is None:
        raise ValueError(
            "allow_changes=true is for a training that is resumed: say ckpt_path=last or "
            "ckpt_path=auto too, or leave it out"
        )
    if state is not None:
        resume.check(state, settings, cfg.allow_changes)
        all_made = resume.is_finished(state, cfg.trainer.max_steps, model_file)
        if all_made and first(lambda: folder.has_ended):
            return setup.finished(cfg, state, model_file)
    seed_everything(cfg.seed, verbose=False)
    with in_turn():
        data = parts.data_module(cfg)
    module = parts.module(cfg, data)
    settings = contents.with_data(settings, data)
    changes = []
    if state is not None:
        changes = resume.check(state, settings, cfg.allow_changes)
        resume.check_fits(state, module, changes)
    with in_turn():
        use_encodings(cfg, module, data)
    first(lambda: folder.make_room(path, reuse=cfg.ckpt_path == "auto"))
    trainer = None
    try:
        device = device_name(accelerator(cfg.trainer.accelerator))
        record = Record(settings, device, state, changes, partial(folder.describe, config, state))
        loggers = setup.loggers(cfg)
        ending = Ending(
            model_file, lambda trainer: training_provenance(cfg, module, data, trainer, record)
        )
        trainer = setup.trainer(cfg, loggers, [ending, record, resume.Apply(changes)])
        setup.log_config(config, loggers)
        setup.fit(trainer, module, data, path, ending)
        wandb.finish(loggers)
    except BaseException:
        if trainer is None or trainer.global_step == 0:
            folder.put_back()
        raise
    folder.end(trainer.global_step)
    return ending.path
