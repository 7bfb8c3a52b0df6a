"""``zoo compare``: models under one budget and one protocol, trained here or earlier."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from eval.extractor.extractor import Extractor
from eval.measure import Evaluation, Reference, Setting, evaluate, measure_reference
from eval.measure.plan import plan
from eval.report.picture import pair_sheets
from eval.report.text import comparison_title
from eval.report.wandb_run import log_to_wandb
from eval.report.write import write_report
from eval.result.record import Result
from eval.source.reference_set import ReferenceSet
from eval.study import loading, rows, saved
from eval.study import protocol as protocols
from eval.study.evaluation import chosen_parts, of_checkpoint, real_grid, sample_grid, save
from eval.study.recipe import one_model
from eval.study.rows import Member
from eval.study.trainings import Trainings
from eval.table import compare as tabulate
from eval.table import trainings
from eval.table.table import refuse
from zoo import entry
from zoo.checkpoint.build import build
from zoo.checkpoint.name import folder_name
from zoo.command.overrides import command_line, key_of, quoted
from zoo.data import ImageData
from zoo.module import DiffusionModule
from zoo.system.device import accelerator
from zoo.system.files import write_atomically
from zoo.training.train import train


def compare(cfg: DictConfig) -> Path:
    """Trains what has no checkpoint, measures all, writes the report."""
    running = HydraConfig.get()
    return Experiment(cfg, list(running.overrides.task), dict(running.runtime.choices)).run()


class Experiment:
    """One comparison: which models, how they are measured, and the report.

    The models are trained, or files of trained ones; see ``eval.study.rows``.

    Raises:
        ValueError: there is nothing to compare, or the overrides are not of a comparison.
    """

    def __init__(self, cfg: DictConfig, overrides: Sequence[str], choices: dict[str, Any]) -> None:
        self.cfg = cfg
        self.overrides = list(overrides)
        self.choices = choices
        self.name = choices.get("experiment") or choices["data"]
        self.run_dir = Path(cfg.run_dir)
        self.device = accelerator(cfg.device)
        self.protocol = protocols.of_comparison(cfg)
        if (model := one_model(self.name)) is not None:
            raise ValueError(
                f"experiment={self.name} is the recipe of one model, {model}: `zoo train "
                f"experiment={self.name}`; a comparison leaves the model open, as digits does"
            )
        for override in overrides:
            if override.partition("=")[0] == "model":
                text = "a comparison has several models; say models=[ddpm,...]"
                raise ValueError(f"{override}: {text}")
        entries = rows.entries(cfg.models)
        models = rows.trainings(entries)
        self.saved = None if models is not None else saved.rows(entries)
        if self.saved is not None:
            rows.check_measuring(overrides)
        self.trainings = Trainings(cfg, overrides, self.name, models)
        self.training = self.trainings.config

    def run(self) -> Path:
        """Trains where necessary, measures every training, writes the report.

        Earlier trainings and evaluations are used again, so an interrupted run resumes.

        Returns:
            The folder of the report.

        Raises:
            ValueError: the models cannot be trained, measured or compared.
        """
        if self.saved is None:
            self.trainings.check()
        else:
            saved.check_models(self.saved, self.cfg.data, list(self.cfg.trust))
            refuse([] if self.cfg.force else saved.differences(self.saved))
        data = loading.dataset(self.cfg)
        self._check_data(data)
        reference_set = self._reference_set(data)
        protocols.check(self.protocol, reference_set)
        self._train_small_extractors(data)
        # before the trainings, so that missing weights fail early
        extractors = loading.extractors(self.cfg, self.device)
        shared = self._shared_settings(reference_set, extractors)
        reference = functools.cache(lambda: self._reference(shared))
        if self.saved is None:
            members = self.trainings.members(data)
        else:
            members = saved.members(self.saved, self.run_dir)
        first: dict[str, Evaluation] = {}  # of each row: only its images are shown
        results: dict[str, list[Result]] = {row: [] for row in members}
        for row, trained in members.items():
            for member in trained:
                setting = self._setting(row, member, shared)
                evaluation = evaluate(setting, reference, loading.cache(self.cfg))
                save(evaluation, member.folder)
                results[row].append(evaluation.result)
                first.setdefault(row, evaluation)
        return self._report(results, first, data)

    def _check_data(self, data: ImageData) -> None:
        """Refuses files of models that were trained on other images, unless forced."""
        for model in [model for models in (self.saved or {}).values() for model in models]:
            remark = loading.other_data(model.facts, self.cfg.data, data.fingerprint)
            if remark and not self.cfg.force:
                raise ValueError(f"{model.path} {remark}; force=true measures it all the same")

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

    def _setting(self, row: str, member: Member, shared: dict[str, Any]) -> Setting:
        """One evaluation of a training."""
        trust, dtype = list(self.cfg.trust), self.protocol["dtype"]
        module = loading.diffusion_model(member.path, self.device, trust, dtype)
        generation = protocols.generation(self.protocol, **self._parts(row, module))
        setting = Setting(module, **shared, generation=generation, name=member.title)
        return of_checkpoint(setting, member.path)

    def _parts(self, row: str, module: DiffusionModule) -> dict[str, Any]:
        """Sampler and guidance: of a training the config's, else the file's, changed as asked."""
        if self.saved is not None:
            roots = ("sampler", "guidance", "trust")
            own = [o for o in self.overrides if key_of(o).split(".")[0] in roots]
            return chosen_parts(entry.compose("evaluate", own), module)
        recipe = self.training(row).model
        return {
            part: build(
                OmegaConf.to_container(recipe[part], resolve=True, throw_on_missing=True), None
            )
            for part in ("sampler", "guidance")
        }

    def _report(
        self, by_row: dict[str, list[Result]], first: dict[str, Evaluation], data: ImageData
    ) -> Path:
        results = [trainings.combined(members, row) for row, members in by_row.items()]
        within = [
            mismatch
            for row, members in by_row.items()
            for mismatch in trainings.training_mismatches(members, row)
        ]
        table = tabulate(results, self.cfg.force, within)
        several = {row for row, members in by_row.items() if len(members) > 1}
        several |= set(by_row) if self.trainings.several else set()
        if several:
            numbers = self.run_dir / "trainings.csv"
            print(f"wrote {write_atomically(numbers, trainings.to_csv(by_row))}")
        for (row, evaluation), result in zip(first.items(), results, strict=True):
            if row in several:
                save(evaluation._replace(result=result), self.run_dir / folder_name(row))
        names = {e.result.subject.name: e for e in first.values()}
        samples = {"real, held out": real_grid(data)}
        samples |= {name: sample_grid(evaluation) for name, evaluation in names.items()}
        pairs = pair_sheets({name: evaluation.pairs for name, evaluation in names.items()})
        command = command_line("compare", self.overrides)
        title = comparison_title(data.name, table, [len(members) for members in by_row.values()])
        written = write_report(self.run_dir, table, results, samples, title, command, pairs)
        if "wandb" in (self.cfg.get("logger") or {}):
            folder = str(self.run_dir)
            logger = instantiate(self.cfg.logger.wandb, folder=folder, _convert_="all")
            log_to_wandb(logger, loading.plain_values(self.cfg), table, results, samples, pairs)
        print("\n".join(f"wrote {path}" for path in written.values()))
        return self.run_dir
