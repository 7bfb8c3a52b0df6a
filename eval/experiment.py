"""``zoo compare``: the models of an experiment under one budget and one protocol."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from eval import report, verbs
from eval.compare import compare
from eval.evaluate import Evaluation
from eval.picture import png, tile
from eval.result import Result
from eval.yardstick import Yardstick, measure
from zoo import checkpoint, entry, paths
from zoo.device import accelerator
from zoo.train import train

_OWN = (
    "models",
    "retrain",
    "force",
    "run_dir",
    "protocol",
    "extractor",
    "metric",
    "cache",
    "autoencoder",
)
_SMALL = {"Small": "small_extractor", "SmallClip": "small_clip"}


class Experiment:
    """One comparison.

    Every override that is not compare's own is handed to each training, so that ``zoo compare
    experiment=digits trainer.max_steps=100`` means what ``zoo train`` means by it.

    Args:
        cfg: configs/compare.yaml, composed.
        overrides: what it was composed with.
        choices: hydra's choice in each group.
    """

    def __init__(self, cfg: DictConfig, overrides: Sequence[str], choices: dict[str, Any]) -> None:
        self.cfg = cfg
        self.overrides = list(overrides)
        self.choices = choices
        self.name = choices.get("experiment") or choices["data"]
        self.run_dir = Path(cfg.run_dir)
        self.device = accelerator(cfg.trainer.accelerator)
        if (model := _recipe_of(self.name)) is not None:
            raise ValueError(
                f"experiment={self.name} is the recipe of one model, {model}: `zoo train "
                f"experiment={self.name}`; a comparison leaves the model open, as digits does"
            )
        if not cfg.models:
            raise ValueError("models=[] leaves nothing to compare")
        for override in overrides:
            if override.partition("=")[0] == "model":
                raise ValueError(
                    f"{override}: a comparison has several models; say models=[ddpm,...]"
                )

    def run(self) -> Path:
        """Trains what has to be trained, measures every model, writes the report.

        Returns:
            The folder of the report.

        Raises:
            ValueError: the models cannot be trained, measured or compared.
        """
        data = verbs.dataset(self.cfg)
        self._settle_extractors(data)
        # before the trainings, so that missing weights are heard of at once
        found = verbs.extractors(self.cfg, self.device)
        yardstick = functools.cache(lambda: self._yardstick(data, found))
        files = {name: self._checkpoint(name, data) for name in self.cfg.models}
        evaluations = []
        for name, path in files.items():
            evaluation = self._evaluate(name, path, data, found, yardstick)
            verbs.save(evaluation, self.run_dir / name)
            evaluations.append(evaluation)
        return self._report(evaluations, data)

    # Which weights

    def training(self, model: str, *more: str) -> DictConfig:
        """The config of one model's training: what ``zoo train`` composes from the overrides."""
        kept = [o for o in self.overrides if _key(o).split(".")[0] not in _OWN]
        folder = _quoted(self.run_dir / model)
        return entry.compose("train", [*kept, f"model={model}", f"run_dir={folder}", *more])

    def _checkpoint(self, model: str, data: Any) -> Path:
        cfg = self.training(model)
        latent = "first_stage" in inspect.signature(get_class(cfg.model._target_)).parameters
        path = None if self.cfg.retrain else self._existing(model, cfg, data)
        if path is not None:
            return path
        more = [f"autoencoder={_quoted(self._autoencoder(data))}"] if latent else []
        print(f"training {model}")
        return train(self.training(model, *more))

    def _autoencoder(self, data: Any) -> Path:
        """One file for all latent models: the one asked for, one that is there, or a new one."""
        if self.cfg.autoencoder is None:
            cfg = self.training("autoencoder")
            path = None if self.cfg.retrain else self._existing("autoencoder", cfg, data)
            if path is None:
                print("training the autoencoder of the latent models")
                path = train(cfg)
            self.cfg.autoencoder = str(path)
        return Path(self.cfg.autoencoder)

    def _existing(self, model: str, cfg: DictConfig, data: Any) -> Path | None:
        """The shipped file, or an earlier run's, if model and budget are those asked for.

        Raises:
            ValueError: a checkpoint ships, but of another model or budget than asked for.
        """
        shipped = paths.checkpoints() / self.name / f"{model}.safetensors"
        earlier = self.run_dir / model / "model.safetensors"
        for path in (earlier, shipped):
            if not path.is_file():
                continue
            differing = _differing(cfg, checkpoint.provenance(path), data)
            differing += _unlike(cfg.model, checkpoint.config(path))
            if not differing:
                print(f"{model}: {path}")
                return path
            if path == shipped:
                raise ValueError(
                    f"{path} is not what is asked for: "
                    f"{'; '.join(differing)}; retrain=true trains anew"
                )
        return None

    def _settle_extractors(self, data: Any) -> None:
        """Trains the small extractors that are absent; those that are there are never replaced."""
        for node in (self.cfg.get("extractor") or {}).values():
            model = _SMALL.get(node._target_.rpartition(".")[2])
            if model is None or verbs.shipped_or_as_given(node.path).is_file():
                continue
            path = self.run_dir / model / "model.safetensors"
            if not path.is_file():
                print(f"training {model} for {data.name}, for none ships at {node.path}")
                # with its own recipe, not the experiment's: it belongs to the protocol
                chosen = [f"data={self.choices['data']}", f"trainer={self.choices['trainer']}"]
                given = [o for o in self.overrides if _key(o).startswith("data.")]
                own = [f"model={model}", f"run_dir={_quoted(self.run_dir / model)}"]
                path = train(entry.compose("train", [*chosen, *given, *own]))
            node.path = str(path)

    # Numbers and report

    def _yardstick(self, data: Any, found: verbs.Extractors) -> Yardstick:
        size = self.cfg.protocol.batch_size
        return measure(data, *found, self._counts(data), size, verbs.metrics(self.cfg))

    def _counts(self, data: Any) -> list[int]:
        protocol = self.cfg.protocol
        counts = protocol.fid_counts or {len(data.test), protocol.num_images}
        return sorted({min(count, protocol.num_images) for count in counts})

    def _evaluate(
        self,
        name: str,
        path: Path,
        data: Any,
        found: verbs.Extractors,
        yardstick: Callable[[], Yardstick],
    ) -> Evaluation:
        protocol: Any = OmegaConf.to_container(self.cfg.protocol, resolve=True)
        bits = protocol.pop("bits_per_dim")
        protocol |= {"fid_counts": self._counts(data), "yardstick": yardstick}
        protocol |= {"metrics": verbs.metrics(self.cfg), "cache": verbs.cache(self.cfg)}
        protocol |= {"bits_images": bits["num_images"], "bits_steps": bits["num_steps"]}
        asked = self.training(name).model  # so that sampler=... works on checkpoints that are there
        for part in ("sampler", "guidance"):
            protocol[part] = instantiate(asked[part], _convert_="all")
        module = verbs.diffusion_model(path, self.device, list(self.cfg.trust))
        return verbs.evaluate_checkpoint(module, path, data, found, name, protocol)

    def _report(self, evaluations: list[Evaluation], data: Any) -> Path:
        results = [evaluation.result for evaluation in evaluations]
        table = compare(results, self.cfg.force)
        samples = {"real, held out": real_grid(data)}
        for evaluation in evaluations:
            samples[evaluation.result.subject.name] = verbs.sample_grid(evaluation)
        count = {2: "Two", 3: "Three", 4: "Four", 5: "Five"}.get(len(results), str(len(results)))
        title = f"{count} diffusion models on {data.name}, one budget"
        if len(results) == 1:
            title = f"One diffusion model on {data.name}"
        command = " ".join(["zoo compare", *self.overrides])
        written = report.write(self.run_dir, table, results, samples, title, command)
        if "wandb" in (self.cfg.logger or {}):
            log_to_wandb(self.cfg, self.run_dir, results, report.to_csv(table), samples)
        print("\n".join(f"wrote {path}" for path in written.values()))
        return self.run_dir


def _recipe_of(experiment: str) -> str | None:
    """The one model that an experiment of the zoo's own is about, or None for a comparison."""
    file = paths.configs() / "experiment" / f"{experiment}.yaml"
    if not file.is_file():
        return None
    loaded: Any = OmegaConf.to_container(OmegaConf.load(file))
    entries = loaded["defaults"]
    for default in entries:
        if isinstance(default, dict) and "override /model" in default:
            return str(default["override /model"])
    bases = (_recipe_of(default) for default in entries if isinstance(default, str))
    return next((model for model in bases if model), None)


def real_grid(data: Any) -> bytes:
    """Held-out images in the places of the generated ones' classes, as PNG."""
    number = verbs.ROWS * verbs.COLUMNS
    labels, classes = data.test.labels, data.num_classes
    order = list(range(min(number, len(data.test))))
    if labels is not None and classes:
        of_class = [torch.nonzero(labels == c).flatten().tolist() for c in range(classes)]
        wanted = [of_class[i % classes][i // classes : i // classes + 1] for i in range(number)]
        order = [index for found in wanted for index in found]
    return png(tile(data.test.gather(torch.tensor(order)), verbs.COLUMNS))


def log_to_wandb(
    cfg: DictConfig, folder: Path, results: list[Result], table: str, samples: dict[str, bytes]
) -> None:
    """Configuration, results table and sample grids as one W&B run, offline by default."""
    import csv
    import io

    import wandb
    from PIL import Image

    logger: Any = instantiate(cfg.logger.wandb, folder=str(folder), _convert_="all")
    logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    lines: list[list[Any]] = list(csv.reader(io.StringIO(table)))
    run = logger.experiment
    run.log({"results": wandb.Table(columns=lines[0], data=lines[1:])})
    for name, data in samples.items():
        run.log({f"samples/{name}": wandb.Image(Image.open(io.BytesIO(data)).convert("RGB"))})
    for result in results:
        for name, value in result.values.items():
            run.summary[f"{result.subject.name}/{name}"] = value.value
    run.finish()


def _differing(cfg: DictConfig, facts: dict[str, Any], data: Any) -> list[str]:
    """Where a checkpoint's recorded budget is not that of a training's config."""
    asked = {
        "data_fingerprint": data.fingerprint,
        "images_seen": cfg.trainer.max_steps
        * cfg.data.batch_size
        * cfg.trainer.accumulate_grad_batches,
        "batch_size": cfg.data.batch_size * cfg.trainer.accumulate_grad_batches,
        "learning_rate": float(cfg.recipe.optimizer.lr),
        "seed": cfg.seed,
    }
    recorded = facts.get("budget") or {}
    return [
        f"{field} is {recorded.get(field)}, not {value}"
        for field, value in asked.items()
        if recorded.get(field) != value
    ]


def _unlike(asked: Any, saved: Any, where: str = "model") -> list[str]:
    """Where a saved config is not the one asked for; how it is sampled may differ."""
    if isinstance(asked, DictConfig):
        asked = OmegaConf.to_container(asked, resolve=True)
    if not (isinstance(asked, dict) and isinstance(saved, dict)):
        return [] if asked == saved else [f"{where} is {saved}, not {asked}"]
    found = []
    for key, value in asked.items():
        if key not in ("sampler", "guidance", "_target_", "_partial_") and key in saved:
            found += _unlike(value, saved[key], f"{where}.{key}")
    return found


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _quoted(path: Path) -> str:
    """A path in hydra's override grammar."""
    return entry.quoted(str(path))
