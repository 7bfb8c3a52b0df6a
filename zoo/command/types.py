"""The types of the command line's keys: one name means one thing in every verb.

A key of a part, such as ``sampler.eta``, has the type of its constructor's argument (see
``zoo.command.signature``) unless it stands here, with bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from glob import glob, has_magic
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Len, Lt, MinLen
from pydantic import AfterValidator, ValidationInfo

from zoo import paths
from zoo.checkpoint.published import checkpoint_file
from zoo.command.annotation import NODE
from zoo.samples.lines import read_lines
from zoo.system.errors import SEVERAL
from zoo.system.hardware import (
    check_accelerator,
    check_device,
    check_processes,
    check_strategy,
)


def _here(check: Callable[[Any], object]) -> AfterValidator:
    """A validator of what depends on this machine, for values that are about to be used.

    It passes whatever is not: a config may be composed where its files are not.
    """

    def validate(value: Any, info: ValidationInfo) -> Any:
        if info.context is not None:
            check(value)
        return value

    return AfterValidator(validate)


def _exists(path: str) -> None:
    if not Path(path).exists():
        raise ValueError(f"{path}: no such file or folder")


def _images_exist(path: str) -> None:
    if not paths.resolve(path).exists():
        raise ValueError(f"{path}: no such file or folder, nor below ZOO_DATA")


def _split_or_exists(name: str) -> None:
    if name not in ("train", "test") and not paths.resolve(name).exists():
        raise ValueError("neither train nor test, nor a file or folder here or below ZOO_DATA")


def _data_exists(name: str) -> None:
    """Refuses what is neither a path nor a pattern, here or below ``ZOO_DATA``, nor an address."""
    for each in [] if paths.is_address(name) else paths.braces(name):
        paths.data(each, "file or folder", lambda path: bool(glob(str(path))) or path.exists())


def _state_exists(path: str) -> None:
    if path not in ("last", "auto") and not Path(path).exists():
        raise ValueError(
            f"{path}: no such file; last is that of run_dir, and auto, if there is one"
        )


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


def _kept(path: str) -> str:
    """Passes an archive or a folder, whose name may have a dot, as in ``run-1.5``."""
    suffix = Path(path).suffix
    if suffix == ".npz" or not re.fullmatch(r"\.[A-Za-z][A-Za-z0-9]*", suffix):
        return path
    raise ValueError("images are kept in an .npz or a folder")


def _can_be_kept(path: str) -> None:
    place = Path(path)
    if place.suffix == ".npz" and place.is_dir():
        raise ValueError(f"{path}: cannot be written, for it is a folder")
    _can_be_a_folder(str(place.parent if place.suffix == ".npz" else place))


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("text without null characters")
    return value


Text = Annotated[str, MinLen(1), AfterValidator(_text)]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
Count = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Gt(0), Lt(1)]
Decay = Annotated[float, Ge(0), Lt(1)]
Device = Annotated[str, _here(check_device)]
Existing = Annotated[Text, _here(_exists)]
Lines = Annotated[Text, _here(read_lines)]
Images = Annotated[Text, _here(_images_exist)]
Split = Annotated[Text, _here(_split_or_exists)]
Checkpoint = Annotated[Text, _here(checkpoint_file)]
Checkpoints = Annotated[Text, _here(_checkpoints_exist)]
Data = Annotated[Text, _here(_data_exists)]
Processes = Annotated[Count, _here(check_processes)]
Kept = Annotated[Text, AfterValidator(_kept), _here(_can_be_kept)]
OutputFolder = Annotated[Text, _here(_can_be_a_folder)]
CachePlace = Annotated[OutputFolder, AfterValidator(paths.check_cache_place)] | Literal[False]
Labels = int | Text | Annotated[list[int | Text], MinLen(1)]

KEYS: dict[str, Any] = {
    "seed": Seed,
    "train_seeds": list[Seed] | None,
    "num_images": Annotated[int, Ge(1), Le(10**8)],
    "batch_size": Count,
    "columns": Count | None,
    "fid_counts": list[Annotated[int, Ge(2)]] | None,
    "condition": Labels | None,
    "negative": Labels | None,
    "prompts": Lines | None,
    "negative_prompts": Lines | None,
    "images_per_prompt": Count,
    "labels": Literal["balanced", "random"],
    "dtype": Literal["float32", "float16", "bfloat16", "float64"] | None,
    "precision": Literal["auto", "32-true", "32", "bf16-mixed", 32],
    "device": Device,
    "devices": Processes,
    "trust": list[Text],
    "name": Text | None,
    "model_name": Text,
    "model_size": Text,
    "out": Text | None,
    "keep": Kept | None,
    "run_dir": OutputFolder,
    "checkpoint": Checkpoints | list[Checkpoints] | dict | None,
    "images": Images | None,
    "reference": Split,
    "held_out": Split | None,
    "ckpt_path": Annotated[Text, _here(_state_exists)] | None,
    "autoencoder": Checkpoint | None,
    "text_encoder": Checkpoint | None,
    "tokenizer": Existing | None,
    "cache": bool,
    "retrain": bool,
    "force": bool,
    "channels_last": bool | Literal["auto"],
    "compile": bool,
    "allow_changes": bool,
    "latent_cache": CachePlace,
    "caption_cache": CachePlace,
    "cache_dtype": Literal["float32", "float16"],
    "cache_only": bool,
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
    "data.train_file": Data | list[Data],
    "data.test_file": Data | list[Data] | None,
    "data.train_files": Data | list[Data],
    "data.test_files": Data | list[Data] | None,
    "data.shuffle_window": Count,
    "data.batch_size": Count,
    "data.seed": Seed,
    "data.steps_per_epoch": Count | None,
    "data.image_size": Annotated[int, Ge(1), Le(2**14)],
    "data.channels": Annotated[int, Ge(1), Le(4)],
    "data.num_classes": Count | None,
    "data.test_fraction": Annotated[float, Gt(0), Le(1)] | None,
    "data.condition": Literal["label", "caption", "none"],
    "data.on_broken": Literal["stop", "skip"],
    "trainer.accelerator": Annotated[str, _here(check_accelerator)],
    "trainer.devices": Processes
    | Literal["auto"]
    | Annotated[list[Annotated[int, Ge(0)]], MinLen(1)],
    "callbacks.sample_grid.num_images": Annotated[int, Ge(1), Le(10**4)],
    "callbacks.training_state.keep_last": Count,
    "callbacks.training_state.keep_every_n_steps": Count | None,
    "callbacks.training_state.keep_steps": list[Count],
    "trainer.num_nodes": Count,
    "trainer.precision": Literal[
        "auto", "32-true", "32", "bf16-mixed", "bf16-true", "bf16", "16-mixed", "16-true", "16",
        "64-true", "64", 16, 32, 64,
    ],
    "trainer.max_steps": Count,
    "trainer.accumulate_grad_batches": Count,
    "trainer.log_every_n_steps": Count,
    "trainer.val_check_interval": Count | None,
    "trainer.limit_val_batches": Annotated[int, Ge(0)] | Annotated[float, Ge(0), Le(1)],
    "trainer.gradient_clip_val": Positive | None,
    "trainer.strategy": Annotated[Text, AfterValidator(check_strategy)],
    "recipe.optimizer.lr": Positive,
    "recipe.optimizer.betas": Annotated[list[Annotated[float, Ge(0), Le(1)]], Len(2, 2)],
    "ema": Decay | None,
    "run": Checkpoint,
    "sigma_rel": Annotated[list[Share], MinLen(1)] | Share | None,
    "recipe.ema.decay": Annotated[list[Decay], MinLen(1)] | Decay | None,
    "recipe.ema.sigma_rel": list[Share] | Share | None,
    "callbacks.average_snapshots.dtype": Literal["float16", "float32"],
}  # fmt: skip
"""Dotted keys of composed configs; ``protocol.x`` and ``model.x`` are read as ``x``."""


_SIZES = {
    "channels", "context_dim", "dim", "embedding", "every_n_steps", "features", "head_channels",
    "image_channels", "image_layers", "image_size", "image_width", "in_channels",
    "latent_channels", "norm_groups", "num_classes", "num_codes", "num_heads", "num_images",
    "num_res_blocks", "num_steps", "num_timesteps", "out_channels", "patch_size", "text_layers",
    "text_width",
}  # fmt: skip
_FLOATS = {"dropout": Annotated[float, Ge(0), Le(1)], "norm_eps": Annotated[float, Ge(0)]}
_LISTS_OF_SIZES = {"attention_at", "channel_mult", "image_shape", "channels"}


def bounded(name: str, kind: Any) -> Any:
    """The type of an argument of one of the zoo's classes, with the bounds that its name implies.

    >>> bounded("num_heads", int | None) == Count | None, bounded("eta", float)
    (True, <class 'float'>)
    """
    if name in _SIZES and kind in (int, int | None):
        return Count if kind is int else Count | None
    if name in _LISTS_OF_SIZES and kind in (list[int], list[float]):
        return list[Annotated[get_args(kind)[0], Gt(0)]]  # type: ignore[misc]
    if kind is float and name in _FLOATS:
        return _FLOATS[name]
    return kind


def kind_of(key: str) -> Any:
    """The type of a key by ``KEYS``, or as the place of a group's config; None for others."""
    key = key.removeprefix("protocol.").removeprefix("model.")
    key = re.sub(r"^guidance(\.guidance)+\.", "guidance.", key)
    if key in KEYS:
        return KEYS[key]
    if (paths.configs() / key).is_dir():
        return dict | None
    return NODE | None if re.fullmatch(rf"({'|'.join(SEVERAL)})\.\w+", key) else None
