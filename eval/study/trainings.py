"""The checkpoints of a comparison: those that are there and are what is asked for, or new ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from eval.result.parse import field_differences, leaves
from zoo import checkpoint, entry, paths
from zoo.command.overrides import key_of, quoted
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
    seeds a latent model's autoencoder is trained anew for each, for it belongs to the method;
    ``autoencoder=FILE`` has all trainings share one.

    Args:
        cfg: configs/compare.yaml, composed.
        overrides: what it was composed with.
        name: of the experiment: the folder of its checkpoints among those that ship.

    Raises:
        ValueError: ``train_seeds`` is no list of distinct seeds, or ``seed`` is given beside it.
    """

    def __init__(self, cfg: DictConfig, overrides: Sequence[str], name: str) -> None:
        self.cfg = cfg
        self.name = name
        self.run_dir = Path(cfg.run_dir)
        asked = seeds_of(cfg.train_seeds)
        self.several = asked is not None
        self._made: set[Path] = set()  # autoencoders trained in this run, not to be trained twice
        self.seeds = [int(cfg.seed)] if asked is None else asked
        self._kept = [o for o in overrides if key_of(o).split(".")[0] not in _OWN]
        given = next((o for o in self._kept if key_of(o) == "seed"), None)
        if self.several and given is not None:
            raise ValueError(f"{given} and train_seeds={self.seeds}: say one of them")
        if cfg.autoencoder is not None and not Path(cfg.autoencoder).is_file():
            raise ValueError(f"autoencoder={cfg.autoencoder}: there is no such file")

    def config(self, model: str, seed: int | None = None, *more: str) -> DictConfig:
        """The config of one training: what ``zoo train`` composes from the overrides."""
        seed = self.seeds[0] if seed is None else seed
        own = [f"model={model}", f"run_dir={quoted(self.folder(model, seed))}"]
        if self.several:
            own.append(f"seed={seed}")
        return entry.compose("train", [*self._kept, *own, *more])

    def folder(self, model: str, seed: int) -> Path:
        """Of one training, and of what is measured of it."""
        own = self.run_dir / model
        return own / f"seed-{seed}" if self.several else own

    def title(self, model: str, seed: int) -> str:
        """What one training is called: the model, and the seed where there are several."""
        return f"{model}, seed {seed}" if self.several else model

    def checkpoint(self, model: str, data: Any, seed: int) -> Path:
        """The file of one training; trains where there is none of this budget and seed.

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

    def existing(self, model: str, cfg: DictConfig, data: Any) -> Path | None:
        """An earlier run's file, or the shipped one, if model, budget and seed are those asked for.

        Raises:
            ValueError: one training is asked for and a checkpoint ships, but of another model or
                budget.
        """
        title = self.title(model, cfg.seed)
        alone = self.run_dir / model
        folders = [Path(cfg.run_dir), alone, alone / f"seed-{cfg.seed}"]
        for path in dict.fromkeys(folder / _FILE for folder in folders):
            if path.is_file() and not self._differing(cfg, path, data):
                print(f"{title}: {path}")
                return path
        shipped = paths.checkpoints() / self.name / f"{model}.safetensors"
        if not shipped.is_file():
            return None
        differing = self._differing(cfg, shipped, data)
        if self.several:  # its siblings are trained here, where the shipped one perhaps was not
            here = device_name(accelerator(cfg.trainer.accelerator))
            budget = checkpoint.provenance(shipped).get("budget") or {}
            differing += _unequal(budget, {"device": here})
        if not differing:
            print(f"{title}: {shipped}")
            return shipped
        if not self.several:
            raise ValueError(
                f"{shipped} is not what is asked for: {'; '.join(differing)}; "
                "retrain=true trains anew"
            )
        if not any(difference.startswith("seed is ") for difference in differing):
            print(f"{title}: {shipped} is passed over: {'; '.join(differing)}")
        return None

    def _autoencoder(self, data: Any, seed: int) -> Path:
        """One file for all latent models of a seed: the one given, one that is there, or a new."""
        if self.cfg.autoencoder is not None:
            return Path(self.cfg.autoencoder)
        cfg = self.config("autoencoder", seed)
        made = Path(cfg.run_dir) / _FILE
        anew = self.cfg.retrain and made not in self._made
        path = None if anew else self.existing("autoencoder", cfg, data)
        if path is None:
            print(f"training {self.title('autoencoder', seed)}, of the latent models", flush=True)
            path = train(cfg)
            self._made.add(made)
        return path

    def _differing(self, cfg: DictConfig, path: Path, data: Any) -> list[str]:
        """Where the training in a file is not the one that a config describes."""
        facts, config = checkpoint.provenance(path), _plain(cfg)
        found = unlike_budget(config, facts, data.fingerprint)
        found += unlike_model(config["model"], checkpoint.config(path))
        found += unlike_config(config, path.with_name("config.yaml"))
        used = facts.get("autoencoder")
        if used is not None and self.cfg.autoencoder is not None:
            asked = checkpoint.sha256(self.cfg.autoencoder)
            found += _unequal(used, {"sha256": asked}, "its autoencoder's ")
        elif used is not None:
            first = _plain(self.config("autoencoder", cfg.seed if self.several else None))
            other = unlike_budget(first, used["provenance"], data.fingerprint)
            found += [f"its autoencoder's {difference}" for difference in other]
        return found


def seeds_of(train_seeds: Any) -> list[int] | None:
    """The training seeds that ``train_seeds`` names; None where it names none.

    Raises:
        ValueError: they are no distinct whole numbers from 0 to 2^32 - 1.

    >>> seeds_of([2, 0]), seeds_of(3), seeds_of(None)
    ([2, 0], [3], None)
    """
    if train_seeds is None:
        return None
    listed = isinstance(train_seeds, Sequence) and not isinstance(train_seeds, str)
    seeds = list(train_seeds) if listed else [train_seeds]
    fitting = [seed for seed in seeds if type(seed) is int and 0 <= seed < 2**32]
    if not seeds or fitting != seeds:
        wrong = next((repr(seed) for seed in seeds if seed not in fitting), "nothing")
        raise ValueError(f"train_seeds wants whole numbers from 0, such as 0,1,2; got {wrong}")
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise ValueError(f"train_seeds={seeds} names {twice} twice: the same training, no other")
    return seeds


def unlike_budget(config: dict[str, Any], facts: dict[str, Any], fingerprint: str) -> list[str]:
    """Where a checkpoint's recorded budget is not that of a training's config.

    Args:
        config: of the training that is asked for, resolved.
        facts: the checkpoint's provenance.
        fingerprint: of the data.
    """
    trainer, recipe = config["trainer"], config["recipe"]
    batch_size = config["data"]["batch_size"] * trainer["accumulate_grad_batches"]
    clip, ema = trainer.get("gradient_clip_val"), recipe.get("ema")
    asked: dict[str, Any] = {
        "data_fingerprint": fingerprint,
        "images_seen": trainer["max_steps"] * batch_size,
        "batch_size": batch_size,
        "learning_rate": float(recipe["optimizer"]["lr"]),
        "gradient_clip": None if clip is None else float(clip),
        "seed": config["seed"],
    }
    if ema is None or "decay" in ema:
        asked["ema"] = "none" if ema is None else f"decay {ema['decay']:g}"
    if "-" in str(trainer["precision"]):  # "auto" is whatever suits the machine
        asked["precision"] = str(trainer["precision"])
    return _unequal(facts.get("budget") or {}, asked)


def unlike_model(asked: Any, saved: Any) -> list[str]:
    """Where a saved config is not the one asked for; how it is sampled may differ."""
    any_value = ("sampler", "guidance", "_partial_")
    return _in_words(
        (name, held, wanted)
        for name, held, wanted in field_differences(saved, asked, "model", any_value, _ABSENT)
        if name != "model._target_"
        and wanted != _ABSENT
        and (held != _ABSENT or name.endswith("._target_"))
    )


def unlike_config(config: dict[str, Any], file: Path) -> list[str]:
    """Where a run's own config.yaml has another recipe than a training's, if there is one.

    It knows what a checkpoint's budget does not: weight decay, time sampler, augmentation.
    """
    if not file.is_file():
        return []
    saved, asked = (
        leaves(
            {
                "recipe": whole.get("recipe"),
                "trainer": {key: whole.get("trainer", {}).get(key) for key in _TRAINER},
                "data": {key: whole.get("data", {}).get(key) for key in _DATA},
            }
        )
        for whole in (yaml.safe_load(file.read_text(encoding="utf-8")), config)
    )
    return _in_words(field_differences(saved, asked))


def _unequal(saved: dict[str, Any], asked: dict[str, Any], whose: str = "") -> list[str]:
    """The fields of ``asked`` that are otherwise in ``saved``, in words."""
    return _in_words(field_differences({key: saved.get(key) for key in asked}, asked), whose)


def _in_words(found: Iterable[tuple[str, Any, Any]], whose: str = "") -> list[str]:
    return [f"{whose}{name} is {held}, not {wanted}" for name, held, wanted in found]


def _plain(cfg: DictConfig) -> dict[str, Any]:
    found: Any = OmegaConf.to_container(cfg, resolve=True)
    return found
