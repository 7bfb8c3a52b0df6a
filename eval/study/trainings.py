"""The checkpoints of a comparison: existing ones that match its config, or new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig

from eval.study.loading import plain_values
from eval.study.protocol import FLAT
from eval.study.recipe import (
    budget_mismatches,
    config_mismatches,
    expected_budget,
    model_mismatches,
    recipe_of,
    recorded_mismatches,
)
from eval.study.rows import Member
from eval.table.table import record_mismatches, refuse
from zoo import checkpoint, entry, paths
from zoo.checkpoint.name import MODEL_FILE, folder_name
from zoo.command.overrides import key_of, quoted
from zoo.data import ImageData
from zoo.system.device import accelerator, device_name
from zoo.training.parts import wants_autoencoder
from zoo.training.train import train

_OWN = {
    "models", "train_seeds", "retrain", "force", "run_dir", "protocol", "extractor", "metric",
    "cache", "autoencoder", "device", *FLAT,
} - {"seed"}  # fmt: skip


class Trainings:
    """One training of each model, or one for each of ``train_seeds``.

    Every override that is not compare's own is handed to each training, so that ``zoo compare
    experiment=digits trainer.max_steps=100`` means what ``zoo train`` means by it. With several
    seeds a latent model's autoencoder is trained for each, because it belongs to the method; with
    ``autoencoder=FILE`` all trainings share one.

    Args:
        cfg: of the comparison.
        overrides: that it was composed of.
        name: the experiment's, and that of its folder among the checkpoints that ship.
        models: the overrides of each row by its name, ``model=...`` first; a row that is not in it
            is the model of its name.

    Raises:
        ValueError: ``train_seeds`` is not a list of distinct seeds, or is given beside ``seed``.
    """

    def __init__(
        self,
        cfg: DictConfig,
        overrides: Sequence[str],
        name: str,
        models: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.cfg = cfg
        self.name = name
        self.models = dict(models or {})
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
        row = self.models.get(model, [f"model={model}"])
        own = [*row, f"run_dir={quoted(self.folder(model, seed))}"]
        if self.several:
            own.append(f"seed={seed}")
        return entry.compose("train", [*self._overrides, *own, *more])

    def folder(self, model: str, seed: int) -> Path:
        """Of one training and its evaluation."""
        own = self.run_dir / folder_name(model)
        return own / f"seed-{seed}" if self.several else own

    def title(self, model: str, seed: int) -> str:
        """One training's name: the model, and the seed where there are several."""
        return f"{model}, seed {seed}" if self.several else model

    def check(self) -> None:
        """Refuses what cannot be compared after it was trained, before anything is.

        Raises:
            ValueError: a model cannot be composed, or generates no images; or rows' own settings
                give them different budgets, and the comparison is not forced.
        """
        configs = {model: self.config(model) for model in self.models}
        for model, cfg in configs.items():
            kind = get_class(cfg.model._target_)
            if not hasattr(kind, "generate_batches"):
                raise ValueError(
                    f"models={list(self.models)}: {model} is a {kind.__name__}, which generates no "
                    "images"
                )
        budgets = [(model, expected_budget(plain_values(cfg))) for model, cfg in configs.items()]
        if not self.cfg.force:
            refuse(record_mismatches("budget", budgets))

    def members(self, data: ImageData) -> dict[str, list[Member]]:
        """The trainings of each row; those that do not exist are run."""
        return {
            model: [
                Member(
                    self.title(model, seed),
                    self.checkpoint(model, data, seed),
                    self.folder(model, seed),
                )
                for seed in self.seeds
            ]
            for model in self.models
        }

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
        alone = self.run_dir / folder_name(model)
        folders = [Path(cfg.run_dir), alone, alone / f"seed-{cfg.seed}"]
        for path in dict.fromkeys(folder / MODEL_FILE for folder in folders):
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
            differing += recorded_mismatches(budget, {"device": here})
        if not differing:
            print(f"{title}: {shipped}")
            return shipped
        if not self.several and self._is_plain(model):
            raise ValueError(
                f"{shipped} does not match: {'; '.join(differing)}; retrain=true trains again"
            )
        if not any(difference.startswith("seed is ") for difference in differing):
            print(f"{title}: {shipped} is skipped: {'; '.join(differing)}")
        return None

    def _is_plain(self, model: str) -> bool:
        """Whether a row is a model under its own name and without settings of its own."""
        return list(self.models.get(model, [f"model={model}"])) == [f"model={model}"]

    def _autoencoder(self, data: ImageData, seed: int) -> Path:
        """One file for all latent models of a seed: from the config, an earlier run, or new."""
        if self.cfg.autoencoder is not None:
            return Path(self.cfg.autoencoder)
        cfg = self.config("autoencoder", seed)
        target = Path(cfg.run_dir) / MODEL_FILE
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
        texts += config_mismatches(config, recipe_of(path, facts))
        used = facts.get("autoencoder")
        if used is not None and self.cfg.autoencoder is not None:
            expected = checkpoint.sha256(self.cfg.autoencoder)
            texts += recorded_mismatches(used, {"sha256": expected}, "its autoencoder's ")
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
