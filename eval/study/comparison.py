"""``zoo compare``: the models of an experiment under one budget and one protocol."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from eval.extractor.extractor import Extractor
from eval.measure.evaluation import Evaluation, evaluate
from eval.measure.plan import plan
from eval.measure.reference import Reference, measure_reference
from eval.measure.setting import Setting
from eval.report import write as report
from eval.report.picture import pair_sheets, png, tile
from eval.report.wandb_run import log_to_wandb
from eval.result.record import Result
from eval.source.reference_set import ReferenceSet
from eval.study import loading, protocol
from eval.study.evaluation import COLUMNS, ROWS, of_checkpoint, sample_grid, save
from eval.study.trainings import Trainings
from eval.table import trainings
from eval.table.table import compare as tabulate
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

    Args:
        cfg: configs/compare.yaml, composed.
        overrides: what it was composed with.
        choices: hydra's choice in each group.

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
        self.asked: Any = OmegaConf.to_container(cfg.protocol, resolve=True)
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
                raise ValueError(
                    f"{override}: a comparison has several models; say models=[ddpm,...]"
                )
        self.trainings = Trainings(cfg, overrides, self.name)
        self.training = self.trainings.config

    def run(self) -> Path:
        """Trains what has to be trained, measures every training, writes the report.

        What was trained or measured before is used again: a run that was killed resumes.

        Returns:
            The folder of the report.

        Raises:
            ValueError: the models cannot be trained, measured or compared.
        """
        self._refuse_what_generates_nothing()
        data = loading.dataset(self.cfg)
        against = self._against(data)
        protocol.check(self.asked, against)
        self._settle_extractors(data)
        # before the trainings, so that missing weights fail early
        extractors = loading.extractors(self.cfg, self.device)
        alike = self._alike(against, extractors)
        reference = functools.cache(lambda: self._reference(alike))
        seeds = self.trainings.seeds
        files = {
            model: [self.trainings.checkpoint(model, data, seed) for seed in seeds]
            for model in self.models
        }
        shown: dict[str, Evaluation] = {}
        results: dict[str, list[Result]] = {model: [] for model in self.models}
        for model, checkpoints in files.items():
            for seed, path in zip(seeds, checkpoints, strict=True):
                name = self.trainings.title(model, seed)
                setting = self._setting(model, name, path, alike)
                evaluation = evaluate(setting, reference, loading.cache(self.cfg))
                save(evaluation, self.trainings.folder(model, seed))
                results[model].append(evaluation.result)
                shown.setdefault(model, evaluation)  # the others' images need not be kept
        return self._report(results, shown, data)

    def _refuse_what_generates_nothing(self) -> None:
        for model in self.models:
            kind = get_class(self.training(model).model._target_)
            if not hasattr(kind, "generate_batches"):
                raise ValueError(
                    f"models={self.models}: {model} is a {kind.__name__}, which generates no images"
                )

    def _settle_extractors(self, data: ImageData) -> None:
        """Trains the small extractors that are absent; those that are there are never replaced."""
        for node in (self.cfg.get("extractor") or {}).values():
            model = loading.model_of(node)
            if model is None or loading.shipped_or_as_given(node.path).is_file():
                continue
            path = self.run_dir / model / "model.safetensors"
            if not path.is_file():
                print(f"training {model} for {data.name}, for none ships at {node.path}")
                # with its own recipe, not the experiment's: it belongs to the protocol
                chosen = [f"data={self.choices['data']}", f"trainer={self.choices['trainer']}"]
                given = [o for o in self.overrides if key_of(o).startswith("data.")]
                own = [f"model={model}", f"run_dir={quoted(self.run_dir / model)}"]
                path = train(entry.compose("train", [*chosen, *given, *own]))
            node.path = str(path)

    # Numbers and report

    def _against(self, data: ImageData) -> ReferenceSet:
        """What the protocol compares with: as a rule the data set that is trained on."""
        if self.asked["reference"] == "train" and self.asked["held_out"] in (None, "test"):
            return ReferenceSet.of(data)
        return loading.reference_set(self.cfg, self.asked)

    def _alike(self, against: ReferenceSet, extractors: Sequence[Extractor]) -> dict[str, Any]:
        """What the settings of all evaluations have alike."""
        most, counts = self.asked["num_images"], self.asked["fid_counts"]
        return {
            "data": against,
            "metrics": loading.metrics(self.cfg),
            "extractors": extractors,
            "fid_counts": counts and sorted({min(count, most) for count in counts}),
            "protocol": protocol.title(self.cfg, self.asked),
        }

    def _reference(self, alike: dict[str, Any]) -> Reference:
        parts = (alike["metrics"], alike["extractors"], alike["data"])
        measured = plan(*parts, self.asked["num_images"], alike["fid_counts"])
        cache = loading.cache(self.cfg)
        return measure_reference(alike["data"], measured, self.asked["batch_size"], cache)

    def _setting(self, model: str, name: str, path: Path, alike: dict[str, Any]) -> Setting:
        """One evaluation; with what is asked for, so that sampler=... works on shipped files."""
        recipe = self.training(model).model
        parts = {
            part: build(
                OmegaConf.to_container(recipe[part], resolve=True, throw_on_missing=True), None
            )
            for part in ("sampler", "guidance")
        }
        module = loading.diffusion_model(
            path, self.device, list(self.cfg.trust), self.asked["dtype"]
        )
        generation = protocol.generation(self.asked, **parts)
        return of_checkpoint(Setting(module, **alike, generation=generation, name=name), path)

    def _report(
        self, measured: dict[str, list[Result]], shown: dict[str, Evaluation], data: ImageData
    ) -> Path:
        results = [trainings.combined(found, model) for model, found in measured.items()]
        within = [
            one for model, found in measured.items() for one in trainings.unlike(found, model)
        ]
        table = tabulate(results, self.cfg.force, within)
        if self.trainings.several:
            numbers = self.run_dir / "trainings.csv"
            print(f"wrote {write_atomically(numbers, trainings.to_csv(measured))}")
            for evaluation, result in zip(shown.values(), results, strict=True):
                row = evaluation._replace(result=result)
                save(row, self.run_dir / result.subject.name)
        samples = {"real, held out": real_grid(data)}
        for evaluation in shown.values():
            samples[evaluation.result.subject.name] = sample_grid(evaluation)
        pairs = pair_sheets({one.result.subject.name: one.pairs for one in shown.values()})
        command = " ".join(["zoo compare", *self.overrides])
        title = self._title(data.name)
        written = report.write(self.run_dir, table, results, samples, title, command, pairs)
        if "wandb" in (self.cfg.logger or {}):
            logger: Any = instantiate(
                self.cfg.logger.wandb, folder=str(self.run_dir), _convert_="all"
            )
            asked = OmegaConf.to_container(self.cfg, resolve=True)
            log_to_wandb(logger, asked, table, results, samples, pairs)
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
    loaded: Any = OmegaConf.to_container(OmegaConf.load(file))
    entries = loaded["defaults"]
    for default in entries:
        if isinstance(default, dict) and "override /model" in default:
            return str(default["override /model"])
    bases = (_recipe_of(default) for default in entries if isinstance(default, str))
    return next((model for model in bases if model), None)


def real_grid(data: ImageData) -> bytes:
    """Held-out images in the places of the generated ones' classes, as PNG."""
    number = ROWS * COLUMNS
    labels, classes = data.test.labels, data.num_classes
    order = list(range(min(number, len(data.test))))
    if labels is not None and classes:
        of_class = [torch.nonzero(labels == c).flatten().tolist() for c in range(classes)]
        wanted = [of_class[i % classes][i // classes : i // classes + 1] for i in range(number)]
        order = [index for found in wanted for index in found]
    return png(tile(data.test.gather(torch.tensor(order)), COLUMNS))
