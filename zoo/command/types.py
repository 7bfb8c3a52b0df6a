"""The types of the command line's keys: one name means one thing in every verb.

A key of a part, such as ``sampler.eta``, has the type of its constructor's argument (see
``zoo.command.signature``) unless it stands here, with bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from glob import glob, has_magic
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, MinLen
from pydantic import AfterValidator, ValidationInfo

from zoo import paths
from zoo.checkpoint.published import checkpoint_file
from zoo.system.hardware import check_device


def _here(check: Callable[[str], object]) -> AfterValidator:
    """A validator of what depends on this machine, for values that are about to be used.

    It passes whatever is not: a config may be composed where its files are not.
    """

    def validate(value: str, info: ValidationInfo) -> str:
        if info.context is not None:
            check(value)
        return value

    return AfterValidator(validate)


def _exists(path: str) -> None:
    if not Path(path).exists():
        raise ValueError(f"{path}: no such file or folder")


def _split_or_exists(name: str) -> None:
    if name not in ("train", "test") and not Path(name).exists():
        raise ValueError("neither train nor test, nor a file or folder")


def _data_exists(name: str) -> None:
    """Refuses what is neither a path nor a pattern, here or below ``ZOO_DATA``."""
    paths.data(name, "file or folder", lambda path: bool(glob(str(path))) or path.exists())


def _checkpoints_exist(name: str) -> None:
    """Refuses what is neither a checkpoint nor a pattern that matches something."""
    if not has_magic(name) or Path(name).exists():
        checkpoint_file(name)
    elif not glob(str(Path(name).expanduser()), recursive=True):
        raise ValueError(f"{name}: nothing matches")


def _can_be_a_folder(path: str) -> None:
    place = Path(path)
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise ValueError(f"{path}: cannot be made, for {place} is a file")


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("text without null characters")
    return value


Text = Annotated[str, MinLen(1), AfterValidator(_text)]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
Count = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
Device = Annotated[str, _here(check_device)]
Existing = Annotated[Text, _here(_exists)]
Split = Annotated[Text, _here(_split_or_exists)]
Checkpoint = Annotated[Text, _here(checkpoint_file)]
Checkpoints = Annotated[Text, _here(_checkpoints_exist)]
Data = Annotated[Text, _here(_data_exists)]
OutputFolder = Annotated[Text, _here(_can_be_a_folder)]
Labels = int | Text | Annotated[list[int | Text], MinLen(1)]

KEYS: dict[str, Any] = {
    "seed": Seed,
    "train_seeds": list[Seed] | None,
    "num_images": Count,
    "batch_size": Count,
    "columns": Count | None,
    "fid_counts": list[Annotated[int, Ge(2)]] | None,
    "condition": Labels | None,
    "negative": Labels | None,
    "prompts": Existing | None,
    "negative_prompts": Existing | None,
    "images_per_prompt": Count,
    "labels": Literal["balanced", "random"],
    "dtype": Literal["float32", "float16", "bfloat16", "float64"] | None,
    "precision": Literal["auto", "32-true", "32", "bf16-mixed"] | int,
    "device": Device,
    "devices": Count,
    "trust": list[Text],
    "name": Text | None,
    "model_name": Text,
    "model_size": Text,
    "out": Text | None,
    "keep": OutputFolder | None,
    "run_dir": OutputFolder,
    "checkpoint": Checkpoints | list[Checkpoints] | dict | None,
    "images": Existing | None,
    "reference": Split,
    "held_out": Split | None,
    "ckpt_path": Text | None,
    "autoencoder": Checkpoint | None,
    "text_encoder": Checkpoint | None,
    "tokenizer": Existing | None,
    "cache": bool,
    "retrain": bool,
    "force": bool,
    "channels_last": bool,
    "compile": bool,
    "four_models": list[Text],
    "models": Text | list | dict | None,  # see eval.study.rows
    "version": int | Text | None,
    "data": dict | Text | None,
    "reconstruct": Literal["mean", "sample"],
    "split": Literal["train", "test"],
    "source": Existing,
    "family": Text | None,
    "table": Text | None,
    "rows": list[Text],
    "weights": Text | None,
    "variant": Text | None,
    "papers": Existing | None,
    "config": Existing | dict | None,
    "sampler.num_steps": Count | None,
    "guidance.scale": float | None,
    "guidance.classifier": Checkpoint,
    "guidance.weak": Checkpoint,
    "conditioner.num_classes": Count | None,  # null of data without classes: the model says so
    "denoiser_inputs.label_rows": Count | None,
    "denoiser_inputs.context_dim": Count | None,
    "data.folder": Data | None,
    "data.train_file": Data,
    "data.test_file": Data | None,
    "data.train_files": Data,
    "data.test_files": Data | None,
    "data.batch_size": Count,
    "data.seed": Seed,
    "data.image_size": Count,
    "data.channels": Annotated[int, Ge(1), Le(4)],
    "data.num_classes": Count | None,
    "data.test_fraction": Annotated[float, Gt(0), Le(1)] | None,
    "data.condition": Literal["label", "caption", "none"],
    "data.on_broken": Literal["stop", "skip"],
    "trainer.accelerator": Device,
    "trainer.devices": Count | Literal["auto"] | Annotated[list[Annotated[int, Ge(0)]], MinLen(1)],
    "trainer.num_nodes": Count,
    "trainer.precision": Literal[
        "auto", "32-true", "32", "bf16-mixed", "bf16-true", "bf16", "16-mixed", "16-true", "16",
        "64-true", "64", 16, 32, 64,
    ],
    "trainer.max_steps": Count,
    "trainer.accumulate_grad_batches": Count,
    "trainer.log_every_n_steps": Count,
    "trainer.val_check_interval": Count | Annotated[float, Gt(0), Le(1)] | None,
    "trainer.limit_val_batches": Annotated[int, Ge(0)] | Annotated[float, Ge(0), Le(1)],
    "trainer.gradient_clip_val": Positive | None,
    "recipe.optimizer.lr": Positive,
    "recipe.optimizer.betas": Annotated[list[Annotated[float, Ge(0), Le(1)]], Len(2, 2)],
}  # fmt: skip
"""Dotted keys of composed configs; ``protocol.x`` and ``model.x`` are read as ``x``."""


def kind_of(key: str) -> Any:
    """The type that ``KEYS`` has for a key; None where it has none."""
    key = key.removeprefix("protocol.").removeprefix("model.")
    key = re.sub(r"^guidance(\.guidance)+\.", "guidance.", key)
    return KEYS.get(key)
