"""``zoo compare``: the models of an experiment under one budget and one protocol."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from eval.extractor.extractor import Extractor
from eval.measure import Evaluation, Reference, Setting, evaluate, measure_reference
from eval.measure.plan import plan
from eval.report.picture import pair_sheets
from eval.report.wandb_run import log_to_wandb
from eval.report.write import write_report
from eval.result.record import Result
from eval.source.reference_set import ReferenceSet
from eval.study import loading
from eval.study import protocol as protocols
from eval.study.evaluation import of_checkpoint, real_grid, sample_grid, save
from eval.study.trainings import Trainings
from eval.table import compare as tabulate
from eval.table import trainings
from zoo import entry, paths
from zoo.checkpoint.build import build
from zoo.command.overrides import key_of, quoted
from zoo.data import ImageData
from zoo.system.device import accelerator
from zoo.system.files import write_atomically
from zoo.training.train import train

_WORDS = {2: "two", 3: "three", 4: "four", 5: "five"}


def compare(cfg: DictConfig) -> Path:
    """Trains what has no checkpoint, measures all, writes the report."""
    running = HydraConfig.get()
    return Experiment(cfg, list(running.overrides.task), dict(running.runtime.choices)).run()


class Experiment:
    """One comparison: which trainings, how they are measured, and the report.

    Raises:
        ValueError: there is nothing to compare, or the overrides are not of a comparison.
    """

    def __init__(self, cfg: DictConfig, overrides: Sequence[str], choices: dict[str, Any]) -> None:
        self.cfg = cfg
        self.overrides = list(overrides)
        self.choices = choices
        self.name = choices.get("experiment") or choices["data"]
        self.run_dir = Path(cfg.run_dir)
        self.device = accelerator(cfg.trainer.accelerator)
        self.protocol = loading.plain_values(cfg.protocol)
        if (model := _recipe_of(self.name)) is not None:
            raise ValueError(
                f"experiment={self.name} is the recipe of one model, {model}: `zoo train "
                f"experiment={self.name}`; a comparison leaves the model open, as digits does"
            )
        self.models = [cfg.models] if isinstance(cfg.models, str) else list(cfg.models or ())
        if not self.models:
            raise ValueError("models=[] leaves nothing to compare")
        twice = next((name for name in self.models if self.models.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"models={self.models} names {twice} twice")
        for override in overrides:
            if override.partition("=")[0] == "model":
                text = "a comparison has several models; say models=[ddpm,...]"
                raise ValueError(f"{override}: {text}")
        self.trainings = Trainings(cfg, overrides, self.name)
        self.training = self.trainings.config

    def run(self) -> Path:
        """Trains where necessary, measures every training, writes the report.

        Earlier trainings and evaluations are used again, so an interrupted run resumes.

        Returns:
            The folder of the report.

        Raises:
            ValueError: the models cannot be trained, measured or compared.
        """
        self._check_models()
        data = loading.dataset(self.cfg)
        reference_set = self._reference_set(data)
        protocols.check(self.protocol, reference_set)
        self._train_small_extractors(data)
        # before the trainings, so that missing weights fail early
        extractors = loading.extractors(self.cfg, self.device)
        shared = self._shared_settings(reference_set, extractors)
        reference = functools.cache(lambda: self._reference(shared))
        seeds = self.trainings.seeds
        files = {
            model: [self.trainings.checkpoint(model, data, seed) for seed in seeds]
            for model in self.models
        }
        first: dict[str, Evaluation] = {}  # of each model: only its images are shown
        results: dict[str, list[Result]] = {model: [] for model in self.models}
        for model, checkpoints in files.items():
            for seed, path in zip(seeds, checkpoints, strict=True):
                name = self.trainings.title(model, seed)
                setting = self._setting(model, name, path, shared)
                evaluation = evaluate(setting, reference, loading.cache(self.cfg))
                save(evaluation, self.trainings.folder(model, seed))
                results[model].append(evaluation.result)
                first.setdefault(model, evaluation)
        return self._report(results, first, data)

    def _check_models(self) -> None:
        """Refuses models that do not generate."""
        for model in self.models:
            kind = get_class(self.training(model).model._target_)
            if not hasattr(kind, "generate_batches"):
                raise ValueError(
                    f"models={self.models}: {model} is a {kind.__name__}, which generates no images"
                )

    def _train_small_extractors(self, data: ImageData) -> None:
        """Trains the small extractors that are absent; existing ones are never replaced."""
        for node in (self.cfg.get("extractor") or {}).values():
            model = loading.model_of(node)
            if model is None or loading.shipped_or_as_given(node.path).is_file():
                continue
            path = self.run_dir / model / "model.safetensors"
            if not path.is_file():
                print(f"training {model} for {data.name}, because none ships at {node.path}")
                # with its own recipe, not the experiment's: it belongs to the protocol
                groups = [f"data={self.choices['data']}", f"trainer={self.choices['trainer']}"]
                of_data = [o for o in self.overrides if key_of(o).startswith("data.")]
                own = [f"model={model}", f"run_dir={quoted(self.run_dir / model)}"]
                path = train(entry.compose("train", [*groups, *of_data, *own]))
            node.path = str(path)

    # Numbers and report

    def _reference_set(self, data: ImageData) -> ReferenceSet:
        """The protocol's reference: by default the data set of the trainings."""
        if self.protocol["reference"] == "train" and self.protocol["held_out"] in (None, "test"):
            return ReferenceSet.of(data)
        return loading.reference_set(self.cfg, self.protocol)

    def _shared_settings(
        self, reference_set: ReferenceSet, extractors: Sequence[Extractor]
    ) -> dict[str, Any]:
        """The settings that all evaluations share."""
        most, counts = self.protocol["num_images"], self.protocol["fid_counts"]
        return {
            "data": reference_set,
            "metrics": loading.metrics(self.cfg),
            "extractors": extractors,
            "fid_counts": counts and sorted({min(count, most) for count in counts}),
            "protocol": protocols.title(self.cfg, self.protocol),
        }

    def _reference(self, shared: dict[str, Any]) -> Reference:
        parts = (shared["metrics"], shared["extractors"], shared["data"])
        measurements = plan(*parts, self.protocol["num_images"], shared["fid_counts"])
        batch_size, cache = self.protocol["batch_size"], loading.cache(self.cfg)
        return measure_reference(shared["data"], measurements, batch_size, cache)

    def _setting(self, model: str, name: str, path: Path, shared: dict[str, Any]) -> Setting:
        """One evaluation, with the config's sampler and guidance instead of the file's."""
        recipe = self.training(model).model
        parts = {
            part: build(
                OmegaConf.to_container(recipe[part], resolve=True, throw_on_missing=True), None
            )
            for part in ("sampler", "guidance")
        }
        trust, dtype = list(self.cfg.trust), self.protocol["dtype"]
        module = loading.diffusion_model(path, self.device, trust, dtype)
        generation = protocols.generation(self.protocol, **parts)
        return of_checkpoint(Setting(module, **shared, generation=generation, name=name), path)

    def _report(
        self, by_model: dict[str, list[Result]], first: dict[str, Evaluation], data: ImageData
    ) -> Path:
        results = [trainings.combined(rows, model) for model, rows in by_model.items()]
        within = [
            mismatch
            for model, rows in by_model.items()
            for mismatch in trainings.training_mismatches(rows, model)
        ]
        table = tabulate(results, self.cfg.force, within)
        if self.trainings.several:
            numbers = self.run_dir / "trainings.csv"
            print(f"wrote {write_atomically(numbers, trainings.to_csv(by_model))}")
            for evaluation, result in zip(first.values(), results, strict=True):
                row = evaluation._replace(result=result)
                save(row, self.run_dir / result.subject.name)
        names = {e.result.subject.name: e for e in first.values()}
        samples = {"real, held out": real_grid(data)}
        samples |= {name: sample_grid(evaluation) for name, evaluation in names.items()}
        pairs = pair_sheets({name: evaluation.pairs for name, evaluation in names.items()})
        command = shlex.join(["zoo", "compare", *self.overrides])
        title = self._title(data.name)
        written = write_report(self.run_dir, table, results, samples, title, command, pairs)
        if "wandb" in (self.cfg.logger or {}):
            folder = str(self.run_dir)
            logger = instantiate(self.cfg.logger.wandb, folder=folder, _convert_="all")
            log_to_wandb(logger, loading.plain_values(self.cfg), table, results, samples, pairs)
        print("\n".join(f"wrote {path}" for path in written.values()))
        return self.run_dir

    def _title(self, data: str) -> str:
        """Such as "Two diffusion models on digits, one budget, three trainings each"."""
        models, seeds = len(self.models), len(self.trainings.seeds)
        if models == 1:
            title = f"One diffusion model on {data}"
        else:
            count = _WORDS.get(models, str(models)).capitalize()
            title = f"{count} diffusion models on {data}, one budget"
        each = "" if models == 1 else " each"
        return title + (f", {_WORDS.get(seeds, seeds)} trainings{each}" if seeds > 1 else "")


def _recipe_of(experiment: str) -> str | None:
    """The one model that an experiment of the zoo's own is about, or None for a comparison."""
    file = paths.configs() / "experiment" / f"{experiment}.yaml"
    if not file.is_file():
        return None
    entries = yaml.safe_load(file.read_text(encoding="utf-8"))["defaults"]
    for default in entries:
        if isinstance(default, dict) and "override /model" in default:
            return str(default["override /model"])
    bases = (_recipe_of(default) for default in entries if isinstance(default, str))
    return next((model for model in bases if model), None)
