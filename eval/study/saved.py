"""Files of trained models as rows: read by their headers, pooled over seeds, named, checked."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import get_class
from omegaconf import DictConfig

from eval.result import Budget, describe
from eval.study import loading
from eval.study.recipe import recipe_of
from eval.study.rows import Entry, Member, shown
from eval.table.naming import config_differences, row_names
from eval.table.table import Mismatch, record_mismatches
from eval.table.trainings import within_row
from zoo import checkpoint
from zoo.averages.file import number_in
from zoo.averages.file import record as average_record
from zoo.checkpoint.build import check_config
from zoo.checkpoint.name import MODEL_FILE, folder_name, run_names
from zoo.checkpoint.published import checkpoint_file

Rows = dict[str, list["SavedModel"]]
"""The trainings of each row, in the order of their seeds."""


class SavedModel(NamedTuple):
    """A model's file and what its header, or its run's config.yaml, says of its training.

    Attributes:
        path: the file.
        config: of the model.
        facts: its provenance.
        budget: of its training; empty where nothing is recorded.
        recipe: of its training; None where neither has it.
    """

    path: Path
    config: dict[str, Any]
    facts: dict[str, Any]
    budget: Budget
    recipe: dict[str, Any] | None

    @property
    def kind(self) -> str:
        """What `zoo list` calls a model of its class."""
        return str(self.config.get("_target_", "")).split(".")[-2:][0]

    @property
    def is_conditional(self) -> bool:
        """Whether a diffusion model reads labels or captions."""
        conditioner = self.config.get("conditioner")
        return conditioner is not None and not conditioner["_target_"].endswith(".Unconditional")

    def configuration(self, with_recipe: bool = True) -> dict[str, Any]:
        """Everything that seeds of one method share."""
        recorded = {} if self.budget == Budget() else asdict(self.budget)
        budget = {k: v for k, v in recorded.items() if k not in ("seed", "device")}
        recipe = dict(self.recipe) if self.recipe is not None and with_recipe else {}
        if recipe:
            recipe["data"] = {k: v for k, v in recipe["data"].items() if k != "seed"}
        average = average_record(self.facts)
        average = {} if average is None else {"ema": number_in(average)}
        return {"model": self.config, "training": recipe, "budget": budget, "weights": average}


def read(text: str, key: str) -> list[SavedModel]:
    """The models that a path, a run's folder, a shipped name or a pattern names.

    Of a pattern, what is no finished run is left out, and said so, and so are runs that a later
    one moved aside.

    Raises:
        ValueError: nothing is there, or a file cannot be read; ``key`` names the option.
    """
    if ":" in text and not Path(text).exists():
        raise ValueError(f"{key}={text}: no such file; a row's name goes {key}.NAME=FILE")
    if not loading.is_pattern(text):
        return [_read(checkpoint_file(text))]
    matches = sorted(glob.glob(str(Path(text).expanduser()), recursive=True), key=_naturally)
    if not matches:
        raise ValueError(f"{key}={text}: nothing matches")
    earlier = {match for match in matches if re.sub(r"\.\d+$", "", match) in {*matches} - {match}}
    files = {match: _file(Path(match)) for match in matches if match not in earlier}
    left_out = [match for match in matches if files.get(match) is None]
    if len(left_out) == len(matches):
        raise ValueError(
            f"{key}={text}: none of {', '.join(shown(matches))} is a finished run, a folder with "
            f"{MODEL_FILE}"
        )
    if folders := [match for match in left_out if Path(match).is_dir()]:
        print(f"{key}={text}: left out {', '.join(shown(folders))}: no finished run")
    paths = {path.resolve(): path for path in files.values() if path is not None}
    return [_read(path) for path in paths.values()]


def rows(entries: Sequence[Entry], key: str = "models") -> Rows:
    """Each row's trainings: files of one configuration are pooled if their seeds differ.

    Raises:
        ValueError: see ``read``; a file is named twice; files under one name are not trainings of
            one method.
    """
    by_entry = [_models(entry, key) for entry in entries]
    _check_distinct([model for models in by_entry for model in models], key)
    if entries[0].name is not None:
        return {
            str(entry.name): _of_one_method(models, f"{key}.{entry.name}")
            for entry, models in zip(entries, by_entry, strict=True)
        }
    groups: dict[str, list[SavedModel]] = {}
    for model in (model for models in by_entry for model in models):
        configuration = json.dumps([model.configuration(), model.recipe is None], sort_keys=True)
        alone = "" if isinstance(model.budget.seed, int) else str(model.path)
        groups.setdefault(configuration + alone, []).append(model)
    pooled: list[list[SavedModel]] = []
    for group in groups.values():
        seeds = [model.budget.seed for model in group]
        if len(set(seeds)) == len(seeds):
            pooled.append(sorted(group, key=lambda model: model.budget.seed or 0))
        else:
            texts = ", ".join(shown([model.path for model in group]))
            print(f"{texts}: one configuration, some of one seed too, so each is a row")
            pooled += [[model] for model in group]
    return dict(zip(_names([group[0] for group in pooled]), pooled, strict=True))


def each(entries: Sequence[Entry], key: str) -> dict[str, SavedModel]:
    """Every file by its row's name, or its run's; for errors see ``rows``."""
    by_entry = [(entry.name, model) for entry in entries for model in _models(entry, key)]
    models = [model for _, model in by_entry]
    _check_distinct(models, key)
    entry_names = [name for name, _ in by_entry]
    runs = run_names([model.path for model in models])
    names = [
        run if name is None else name if entry_names.count(name) == 1 else f"{name} {run}"
        for name, run in zip(entry_names, runs, strict=True)
    ]
    return dict(zip(names, models, strict=True))


def members(rows: Rows, run_dir: Path) -> dict[str, list[Member]]:
    """The trainings with their titles and folders."""
    return {
        name: [
            Member(f"{name}, seed {seed}", model.path, run_dir / folder_name(name) / f"seed-{seed}")
            if len(models) > 1
            else Member(name, model.path, run_dir / folder_name(name))
            for model in models
            for seed in (model.budget.seed,)
        ]
        for name, models in rows.items()
    }


def check_models(rows: Rows, data: DictConfig, trust: Sequence[str]) -> None:
    """Refuses files of models that generate no images, or images of another size than the data's.

    Raises:
        ValueError: see above; or a class is not trusted.
    """
    for models in rows.values():
        for model in models:
            loading.check_shape(model.path, data)
            try:
                check_config(model.config, trust)
            except ValueError as error:
                raise ValueError(f"{model.path}: {error}") from error
            kind = get_class(model.config["_target_"])
            if not hasattr(kind, "generate_batches"):
                raise ValueError(f"{model.path} holds a {kind.__name__}, which generates no images")


def differences(rows: Rows) -> list[Mismatch]:
    """What files say against a comparison of their rows: budgets, and who reads labels."""
    budgets: list[tuple[str, Budget]] = []
    within: list[Mismatch] = []
    for name, models in rows.items():
        trainings = [(f"{name}, seed {model.budget.seed}", model.budget) for model in models]
        within += within_row(record_mismatches("budget", trainings), name)
        budget = models[0].budget
        if len(models) > 1:
            budget = replace(budget, seed=[m.budget.seed for m in models])  # type: ignore[misc]
        if budget != Budget():
            budgets.append((name, budget))
    labels = [
        (name, {"labels": "conditional" if models[0].is_conditional else "unconditional"})
        for name, models in rows.items()
        if "denoiser" in models[0].config
    ]
    between = record_mismatches("budget", budgets) + record_mismatches("protocol", labels)
    return within + between


def _models(entry: Entry, key: str) -> list[SavedModel]:
    texts = entry.value if isinstance(entry.value, list) else [entry.value]
    where = key if entry.name is None else f"{key}.{entry.name}"
    return [model for text in texts for model in read(text, where)]


def _read(path: Path) -> SavedModel:
    facts = checkpoint.provenance(path)
    try:
        budget = describe.budget(facts)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return SavedModel(path, checkpoint.config(path), facts, budget, recipe_of(path, facts))


def _file(match: Path) -> Path | None:
    if match.is_dir():
        match /= MODEL_FILE
    return match if match.is_file() and match.suffix == ".safetensors" else None


def _names(models: Sequence[SavedModel]) -> list[str]:
    with_recipe = all(model.recipe is not None for model in models)
    configs = [model.configuration(with_recipe) for model in models]
    return row_names(configs, [m.kind for m in models], run_names([m.path for m in models]))


def _of_one_method(models: list[SavedModel], where: str) -> list[SavedModel]:
    with_recipe = all(model.recipe is not None for model in models)
    differences = config_differences([model.configuration(with_recipe) for model in models])
    if differences:
        texts = [f"{key}={' or '.join(dict.fromkeys(v))}" for key, v in differences.items()]
        raise ValueError(
            f"{where} names trainings of several methods, which are rows of their own: "
            f"{', '.join(shown(texts))}"
        )
    seeds = [model.budget.seed for model in models]
    if len(models) > 1 and (None in seeds or len(set(seeds)) < len(seeds)):
        files = ", ".join(shown([model.path for model in models]))
        raise ValueError(f"{where}: trainings of one row have a seed each, got {seeds} of {files}")
    return sorted(models, key=lambda model: model.budget.seed or 0)


def _check_distinct(models: Sequence[SavedModel], key: str) -> None:
    paths = [model.path.resolve() for model in models]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise ValueError(f"{key}: {twice} is named twice")


def _naturally(text: str) -> list[Any]:
    """A key by which 10 comes behind 9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]
