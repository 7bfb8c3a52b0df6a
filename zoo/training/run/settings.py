"""Which settings decide the result of a training, and how those of two trainings differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from zoo.command.signature import signature

FREE = frozenset({
    # what it is called, where it lies, how it goes on
    "run_dir", "model_name", "model_size", "ckpt_path", "allow_changes", "trust",
    # what is kept of frozen networks, and where
    "latent_cache", "caption_cache", "cache_only",
    # what is written and watched; but see SHAPING_CALLBACKS
    "logger", "callbacks",
    # how images are drawn from the model later
    "sampler", "guidance", "model.sampler", "model.guidance",
    # groups that count where the model's own config holds them
    "schedule", "parameterization", "variance", "objective", "conditioner", "denoiser_inputs",
    # where the images are: what they are is compared by content
    "data.folder", "data.train_file", "data.test_file", "data.train_files", "data.test_files",
    "data.path", "data.hub",
    # how long, on what devices, at the same global batch; what changes rounding alone
    "trainer.max_steps", "trainer.min_steps", "trainer.max_epochs", "trainer.min_epochs",
    "trainer.max_time", "trainer.accelerator", "trainer.devices", "trainer.num_nodes",
    "trainer.strategy", "trainer.deterministic", "trainer.benchmark", "channels_last", "compile",
    # when it is validated, logged and shown
    "trainer.val_check_interval", "trainer.check_val_every_n_epoch", "trainer.limit_val_batches",
    "trainer.limit_test_batches", "trainer.limit_predict_batches", "trainer.num_sanity_val_steps",
    "trainer.log_every_n_steps", "trainer.logger", "trainer.callbacks", "trainer.profiler",
    "trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.enable_checkpointing",
    "trainer.default_root_dir", "trainer.detect_anomaly", "trainer.inference_mode",
    "trainer.enable_autolog_hparams",
})  # fmt: skip
"""The keys of a training's config that may change freely, each with all below it.

Every other key decides the result, so a new one does until it is named here.
"""

SHAPING_CALLBACKS = (
    "ScaleByStd", "ScaleByTrainSet", "GradientAccumulationScheduler", "StochasticWeightAveraging",
    "WeightAveraging", "EMAWeightAveraging", "ModelPruning",
)  # fmt: skip
"""Classes of callbacks that decide the result too."""

FIXED = (
    "model._target_", "model.image_shape", "model.diffusion.schedule.num_timesteps",
    "data.batch_size", "data.image_size", "data.channels", "data.steps_per_epoch",
    "recipe.optimizer._target_", "recipe.optimizer.amsgrad", "recipe.time_sampler.history",
    "recipe.ema.sigma_rel",
    "autoencoder", "text_encoder", "tokenizer",
    "trainer._target_", "trainer.limit_train_batches", "trainer.overfit_batches",
    "trainer.fast_dev_run",
)  # fmt: skip
"""Deciding keys that no training can change on its way: its weights, its optimizer's state and its
position in the data are of them. Sizes of the network are found by the weights' shapes."""


class Difference(NamedTuple):
    """A setting by its dotted key, and its two values; None where there is none."""

    key: str
    old: Any
    new: Any


def shaping(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a resolved training config that decide its result, nested as they are."""
    settings: dict[str, Any] = _without_free(config, "")
    callbacks = {
        name: node
        for name, node in (config.get("callbacks") or {}).items()
        if node and str(node.get("_target_")).rpartition(".")[2] in SHAPING_CALLBACKS
    }
    return {**settings, "callbacks": callbacks} if callbacks else settings


def _without_free(node: Any, key: str) -> Any:
    if not isinstance(node, Mapping):
        return node
    names = {name: f"{key}.{name}" if key else str(name) for name in node}
    return {
        name: _without_free(node[name], where) for name, where in names.items() if where not in FREE
    }


def differences(before: Any, now: Any, key: str = "") -> Iterator[Difference]:
    """Every setting in which two trainings differ.

    A key that one of them lacks has the default of the class that it goes to.

    >>> list(differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}))
    [Difference(key='a.c', old=2, new=3)]
    """
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        if before != now:
            yield Difference(key, _plain(before), _plain(now))
        return
    for name in dict.fromkeys([*before, *now]):
        where = f"{key}.{name}" if key else str(name)
        old = before[name] if name in before else default(before, name)
        new = now[name] if name in now else default(now, name)
        yield from differences(old, new, where)


def default(node: Mapping[str, Any], argument: str) -> Any:
    """The default of an argument of the class or function that a config's node is for, or None."""
    target = node.get("_target_")
    known = signature(target) if isinstance(target, str) else None
    found = known.arguments.get(argument) if known is not None else None
    return None if found is None else found.default


def is_fixed(key: str) -> bool:
    """Whether no training can change the setting on its way."""
    return any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED)


def in_words(changes: list[Difference]) -> str:
    """The first differences in a line.

    >>> in_words([Difference("seed", 0, 1), Difference("recipe.ema", None, {"decay": 0.9})])
    'seed was 0, now 1; recipe.ema was None, now {decay: 0.9}'
    """
    texts = [f"{key} was {_text(old)}, now {_text(new)}" for key, old, new in changes[:_SHOWN]]
    more = len(changes) - len(texts)
    return "; ".join(texts) + (f" and {more} more" if more else "")


_SHOWN, _LONGEST = 3, 60  # differences in a line, letters of a value


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        value = "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _plain(value: Any) -> Any:
    """A value as a state and a yaml file hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
