"""Lightning's trainer for one run: its folder, its loggers, its state to resume from."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from pathlib import Path
from zipfile import is_zipfile

from hydra.utils import instantiate
from lightning import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from zoo.system.device import accelerator, precision
from zoo.system.nested import field_differences
from zoo.trainable import Trainable
from zoo.training.ending import Ending


def quiet() -> None:
    """Silences Lightning's own announcements; its warnings to users stay."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    # between Lightning 2.6 and torch 2.12 and later; no user can do anything about it
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    # a frozen first stage is intended; not every module has something to validate
    warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")
    warnings.filterwarnings("ignore", message=".*val_dataloader.* but have no `validation_step`")


def checkpoint_to_resume(ckpt_path: str | None, run_dir: Path) -> Path | None:
    """The training state to resume from: ``ckpt_path``, where "last" means the run folder's own.

    Raises:
        ValueError: there is no such file.
    """
    if ckpt_path is None:
        return None
    path = run_dir / "last.ckpt" if ckpt_path == "last" else Path(ckpt_path)
    if not path.is_file():
        raise ValueError(
            f"ckpt_path={ckpt_path}: there is no {path} to resume from; "
            "leave ckpt_path out to start again, or set run_dir to the folder of the run"
        )
    if not is_zipfile(path):
        raise ValueError(f"ckpt_path={ckpt_path}: {path} is no training state, or it is torn")
    return path


def check_resumed(cfg: DictConfig, run_dir: Path, state: Path) -> None:
    """Refuses to resume a run of ``run_dir`` under settings that shape its result, changed.

    Its config.yaml has what it was started with; steps, trackers, callbacks, devices and paths may
    change.

    Raises:
        ValueError: naming the first setting that differs.
    """
    file = run_dir / "config.yaml"
    if state.parent != run_dir or not file.is_file():
        return
    before = OmegaConf.to_container(OmegaConf.load(file))
    now = OmegaConf.to_container(cfg, resolve=True)
    for name, old, new in field_differences(before, now, "", _FREE, _ABSENT):
        # other versions have other keys
        if _ABSENT not in (old, new) and f"{name}.".startswith(_SHAPING):
            raise ValueError(
                f"{state} cannot be resumed: {name} was {old}, now {new}; repeat the settings that "
                f"are in {file}, or start another run_dir"
            )


TRAINER = ("precision", "gradient_clip_val", "accumulate_grad_batches")
DATA = ("batch_size", "condition", "flip", "crop_from")  # where from does not matter
"""The keys of both groups that decide the result of a training, beside its seed and its steps."""

_SHAPING = (
    *("model.", "recipe.", "seed.", "data._target_.", "data.name.", "cache_dtype."),
    *(f"data.{key}." for key in DATA),
    *(f"trainer.{key}." for key in TRAINER),
)
_FREE = {"sampler", "guidance"}  # of the model: how it is drawn from later
_ABSENT = object()


def set_aside(run_dir: Path) -> None:
    """Moves an earlier run out of the way, to ``<run_dir>.1`` or the next free number."""
    traces = ("last.ckpt", "model.safetensors", "metrics.csv")
    rank = getattr(rank_zero_only, "rank", 0)
    if rank != 0 or not any((run_dir / name).exists() for name in traces):
        return
    number = 1
    while (free := run_dir.with_name(f"{run_dir.name}.{number}")).exists():
        number += 1
    run_dir.rename(free)
    print(f"{run_dir} held an earlier run: it is now {free}", file=sys.stderr)


def loggers(cfg: DictConfig) -> list[Logger]:
    """The trackers of ``cfg.logger``."""
    return [
        instantiate(node, _convert_="all") for node in (cfg.get("logger") or {}).values() if node
    ]


def trainer(cfg: DictConfig, loggers: list[Logger], ending: Callback) -> Trainer:
    """Lightning's trainer, with "auto" resolved and our own bar, state files and data order."""
    nodes = (cfg.get("callbacks") or {}).values()
    callbacks = [ending, *(instantiate(node, _convert_="all") for node in nodes if node)]
    device = accelerator(cfg.trainer.accelerator)
    fixed = {
        "enable_progress_bar": False,
        "enable_checkpointing": any(hasattr(c, "write") for c in callbacks),
        "enable_model_summary": False,
        "use_distributed_sampler": False,  # the data share a batch between processes themselves
        "num_sanity_val_steps": 0,
        "check_val_every_n_epoch": None,  # count steps, not epochs
        "max_epochs": -1,
    }
    return instantiate(
        cfg.trainer,
        accelerator=device,
        precision=precision(cfg.trainer.precision, device),
        logger=loggers or False,
        callbacks=callbacks,
        default_root_dir=str(cfg.run_dir),
        **{key: value for key, value in fixed.items() if key not in cfg.trainer},
        _convert_="all",
    )


@rank_zero_only
def write_config(cfg: DictConfig, run_dir: Path, loggers: list[Logger]) -> None:
    """Puts the resolved config into the run folder and into the trackers."""
    resolved = OmegaConf.to_container(cfg, resolve=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(resolved), run_dir / "config.yaml")
    for logger in loggers:
        logger.log_hyperparams(resolved)  # type: ignore[arg-type]


def fit(
    trainer: Trainer,
    module: Trainable,
    data: LightningDataModule,
    ckpt_path: Path | None,
    ending: Ending,
) -> None:
    """Trains; after Ctrl-C says what is there and how to resume, and exits with code 130."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    except SystemExit:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)  # Lightning left it ignored
        state = ending.path.with_name("last.ckpt")
        if ending.saved:
            remedy = f"the training was over: {ending.path} is whole, only pictures are missing"
        elif state.is_file():
            remedy = f"{state} is intact: the same command with ckpt_path=last resumes from it"
        else:
            remedy = "no state had been written yet (callbacks.training_state.every_n_steps)"
        print(f"\ninterrupted at step {trainer.global_step}; {remedy}", file=sys.stderr)
        raise SystemExit(130) from None
