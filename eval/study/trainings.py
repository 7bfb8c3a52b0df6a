"""The checkpoints of a comparison: existing ones that match its config, or new ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from eval.result.parse import field_differences, leaves
from eval.study.loading import plain_values
from zoo import checkpoint, entry, paths
from zoo.command.overrides import key_of, quoted
from zoo.data import ImageData
from zoo.system.device import accelerator, device_name
from zoo.training.parts import wants_autoencoder
from zoo.training.train import train

_OWN = {
    "models", "train_seeds", "retrain", "force", "run_dir", "protocol", "extractor", "metric",
    "cache", "autoencoder",
}  # fmt: skip
_FILE = "model.safetensors"
_TRAINER = ("max_steps", "precision", "gradient_clip_val", "accumulate_grad_batches")
_DATA = ("seed", "batch_size", "condition", "flip", "crop_from")  # where from does not matter
_ABSENT = "nothing"  # in the place of what a saved config does not have


class Trainings:
    """One training of each model, or one for each of ``train_seeds``.

    Every override that is not compare's own is handed to each training, so that ``zoo compare
    experiment=digits trainer.max_steps=100`` means what ``zoo train`` means by it. With several
    seeds a latent model's autoencoder is trained for each, because it belongs to the method; with
    ``autoencoder=FILE`` all trainings share one.

    ``name`` is the experiment's, and that of its folder among the checkpoints that ship.

    Raises:
        ValueError: ``train_seeds`` is not a list of distinct seeds, or is given beside ``seed``.
    """

    def __init__(self, cfg: DictConfig, overrides: Sequence[str], name: str) -> None:
        self.cfg = cfg
        self.name = name
        self.run_dir = Path(cfg.run_dir)
        seeds = seeds_of(cfg.train_seeds)
        self.several = seeds is not None
        self._trained_autoencoders: set[Path] = set()  # in this run, not to be trained twice
        self.seeds = [int(cfg.seed)] if seeds is None else seeds
        self._overrides = [o for o in overrides if key_of(o).split(".")[0] not in _OWN]
        seed_override = next((o for o in self._overrides if key_of(o) == "seed"), None)
        if self.several and seed_override is not None:
            raise ValueError(f"{seed_override} and train_seeds={self.seeds}: give only one of them")
        if cfg.autoencoder is not None and not Path(cfg.autoencoder).is_file():
            raise ValueError(f"autoencoder={cfg.autoencoder}: there is no such file")

    def config(self, model: str, seed: int | None = None, *more: str) -> DictConfig:
        """The config of one training, as ``zoo train`` composes it from the overrides."""
        seed = self.seeds[0] if seed is None else seed
        own = [f"model={model}", f"run_dir={quoted(self.folder(model, seed))}"]
        if self.several:
            own.append(f"seed={seed}")
        return entry.compose("train", [*self._overrides, *own, *more])

    def folder(self, model: str, seed: int) -> Path:
        """Of one training and its evaluation."""
        own = self.run_dir / model
        return own / f"seed-{seed}" if self.several else own

    def title(self, model: str, seed: int) -> str:
        """One training's name: the model, and the seed where there are several."""
        return f"{model}, seed {seed}" if self.several else model

    def checkpoint(self, model: str, data: ImageData, seed: int) -> Path:
        """The file of one training, which is run if there is none of this budget and seed.

        Raises:
            ValueError: the training cannot be composed, or see ``existing``.
        """
        cfg = self.config(model, seed)
        path = None if self.cfg.retrain else self.existing(model, cfg, data)
        if path is not None:
            return path
        latent = wants_autoencoder(cfg)
        more = [f"autoencoder={quoted(self._autoencoder(data, seed))}"] if latent else []
        print(f"training {self.title(model, seed)}", flush=True)
        return train(self.config(model, seed, *more))

    def existing(self, model: str, cfg: DictConfig, data: ImageData) -> Path | None:
        """An earlier run's file, or the shipped one, if model, budget and seed match the config.

        Raises:
            ValueError: there is a single training, and the shipped checkpoint is of another model
                or budget.
        """
        title = self.title(model, cfg.seed)
        alone = self.run_dir / model
        folders = [Path(cfg.run_dir), alone, alone / f"seed-{cfg.seed}"]
        for path in dict.fromkeys(folder / _FILE for folder in folders):
            if path.is_file() and not self._mismatches(cfg, path, data):
                print(f"{title}: {path}")
                return path
        shipped = paths.checkpoints() / self.name / f"{model}.safetensors"
        if not shipped.is_file():
            return None
        differing = self._mismatches(cfg, shipped, data)
        if self.several:  # the other seeds are trained here, the shipped one perhaps was not
            here = device_name(accelerator(cfg.trainer.accelerator))
            budget = checkpoint.provenance(shipped).get("budget") or {}
            differing += _field_mismatches(budget, {"device": here})
        if not differing:
            print(f"{title}: {shipped}")
            return shipped
        if not self.several:
            raise ValueError(
                f"{shipped} does not match: {'; '.join(differing)}; retrain=true trains again"
            )
        if not any(difference.startswith("seed is ") for difference in differing):
            print(f"{title}: {shipped} is skipped: {'; '.join(differing)}")
        return None

    def _autoencoder(self, data: ImageData, seed: int) -> Path:
        """One file for all latent models of a seed: from the config, an earlier run, or new."""
        if self.cfg.autoencoder is not None:
            return Path(self.cfg.autoencoder)
        cfg = self.config("autoencoder", seed)
        target = Path(cfg.run_dir) / _FILE
        again = self.cfg.retrain and target not in self._trained_autoencoders
        path = None if again else self.existing("autoencoder", cfg, data)
        if path is None:
            print(f"training {self.title('autoencoder', seed)}, of the latent models", flush=True)
            path = train(cfg)
            self._trained_autoencoders.add(target)
        return path

    def _mismatches(self, cfg: DictConfig, path: Path, data: ImageData) -> list[str]:
        """The differences between a file's training and a config, in words."""
        facts, config = checkpoint.provenance(path), plain_values(cfg)
        texts = budget_mismatches(config, facts, data.fingerprint)
        texts += model_mismatches(config["model"], checkpoint.config(path))
        texts += config_mismatches(config, path.with_name("config.yaml"))
        used = facts.get("autoencoder")
        if used is not None and self.cfg.autoencoder is not None:
            expected = checkpoint.sha256(self.cfg.autoencoder)
            texts += _field_mismatches(used, {"sha256": expected}, "its autoencoder's ")
        elif used is not None:
            first = plain_values(self.config("autoencoder", cfg.seed if self.several else None))
            differences = budget_mismatches(first, used["provenance"], data.fingerprint)
            texts += [f"its autoencoder's {difference}" for difference in differences]
        return texts


def seeds_of(train_seeds: object) -> list[int] | None:
    """The training seeds that ``train_seeds`` names; None where it names none.

    Raises:
        ValueError: they are not distinct whole numbers from 0 to 2^32 - 1.

    >>> seeds_of([2, 0]), seeds_of(3), seeds_of(None)
    ([2, 0], [3], None)
    """
    if train_seeds is None:
        return None
    seeds: list[Any] = [train_seeds]
    if isinstance(train_seeds, Sequence) and not isinstance(train_seeds, str):
        seeds = list(train_seeds)
    valid = [seed for seed in seeds if type(seed) is int and 0 <= seed < 2**32]
    if not seeds or valid != seeds:
        wrong = next((repr(seed) for seed in seeds if seed not in valid), "nothing")
        raise ValueError(f"train_seeds are whole numbers from 0, such as 0,1,2; got {wrong}")
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise ValueError(f"train_seeds={seeds} names {twice} twice: both are the same training")
    return seeds


def budget_mismatches(config: dict[str, Any], facts: dict[str, Any], fingerprint: str) -> list[str]:
    """The differences between a checkpoint's recorded budget and a training's config."""
    trainer, recipe = config["trainer"], config["recipe"]
    batch_size = config["data"]["batch_size"] * trainer["accumulate_grad_batches"]
    clip, ema = trainer.get("gradient_clip_val"), recipe.get("ema")
    expected: dict[str, Any] = {
        "data_fingerprint": fingerprint,
        "images_seen": trainer["max_steps"] * batch_size,
        "batch_size": batch_size,
        "learning_rate": float(recipe["optimizer"]["lr"]),
        "gradient_clip": None if clip is None else float(clip),
        "seed": config["seed"],
    }
    if ema is None or "decay" in ema:
        expected["ema"] = "none" if ema is None else f"decay {ema['decay']:g}"
    if "-" in str(trainer["precision"]):  # "auto" depends on the machine
        expected["precision"] = str(trainer["precision"])
    return _field_mismatches(facts.get("budget") or {}, expected)


def model_mismatches(expected: dict[str, Any], saved: dict[str, Any]) -> list[str]:
    """The differences between a saved config and a model's, except for its sampling."""
    any_value = ("sampler", "guidance", "_partial_")
    return _in_words(
        (name, old, new)
        for name, old, new in field_differences(saved, expected, "model", any_value, _ABSENT)
        if name != "model._target_"
        and new != _ABSENT
        and (old != _ABSENT or name.endswith("._target_"))
    )


def config_mismatches(config: dict[str, Any], file: Path) -> list[str]:
    """The differences between a run's config.yaml, if there is one, and a training's recipe.

    It has what a checkpoint's budget lacks: weight decay, time sampler, augmentation.
    """
    if not file.is_file():
        return []
    run = yaml.safe_load(file.read_text(encoding="utf-8"))
    return _in_words(field_differences(_recipe(run), _recipe(config)))


def _recipe(config: dict[str, Any]) -> dict[str, Any]:
    """The keys of a training's config that decide its result, by dotted name."""
    parts = {"trainer": _TRAINER, "data": _DATA}
    recipe = {part: {key: config.get(part, {}).get(key) for key in parts[part]} for part in parts}
    return leaves({"recipe": config.get("recipe"), **recipe})


def _field_mismatches(
    saved: dict[str, Any], expected: dict[str, Any], whose: str = ""
) -> list[str]:
    """The fields of ``expected`` that differ in ``saved``, in words."""
    return _in_words(field_differences({key: saved.get(key) for key in expected}, expected), whose)


def _in_words(differences: Iterable[tuple[str, Any, Any]], whose: str = "") -> list[str]:
    return [f"{whose}{name} is {old}, not {new}" for name, old, new in differences]
