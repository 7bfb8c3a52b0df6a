"""A comparison as one W&B run: its tables, its images, its numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import WandbLogger

from eval.result.record import Result
from eval.table.formatting import title_of
from eval.table.table import Table
from zoo.data.picture import picture
from zoo.system.text import one_line, visible


def log_to_wandb(
    logger: WandbLogger,
    config: dict[str, Any],
    table: Table,
    results: Sequence[Result],
    samples: Mapping[str, bytes],
    pairs: Mapping[str, bytes] | None = None,
) -> None:
    """Writes a comparison into a W&B run and ends it.

    The run holds the tables ``results`` (a row per model), ``values`` (a row per model and metric,
    with its interval) and ``verdicts`` (a row per pair of models and metric), the images
    ``samples/<name>`` and ``nearest/<name>``, and every value in its summary.

    For the other arguments see ``eval.report.write.write_report``.
    """
    import wandb

    logger.log_hyperparams(config)
    logged: dict[str, Any] = {
        "results": _table(*results_table(table)),
        "values": _table(*values_table(results)),
    }
    if table.verdicts:
        logged["verdicts"] = _table(*verdicts_table(table))
    for kind, images in (("samples", samples), ("nearest", pairs or {})):
        for name, data in images.items():
            key = f"{kind}/{file_name(name)}"
            while key in logged:  # two names that differ in what files cannot be called
                key += "_"
            logged[key] = wandb.Image(picture(data), caption=visible(name))
    run = logger.experiment
    run.log(logged)
    for result in results:
        for name, value in result.values.items():
            run.summary[f"{visible(result.subject.name)}/{name}"] = value.value
    run.finish()


def file_name(name: str) -> str:
    """A name of an image, which W&B makes a file's.

    >>> file_name("../a:b")
    '.._a_b'
    """
    return re.sub(r'[<>:"/\\|?*]', "_", one_line(name))


def results_table(table: Table) -> tuple[list[str], list[list[Any]]]:
    """Heads and rows of the comparison, numbers as numbers."""
    heads = [column.key for column in table.columns]
    return heads, [[cell.value for cell in cells] for _, cells in table.rows]


def values_table(results: Sequence[Result]) -> tuple[list[str], list[list[Any]]]:
    """A row per model and metric: the value with its interval and its baselines."""
    parts = ("standard_error", "corrected", "floor", "ceiling", "num_images")
    rows = []
    for result in results:
        for name, value in result.values.items():
            low, high = value.interval or (None, None)
            rest = [getattr(value, part) for part in parts]
            title = title_of(name, value)
            rows.append([result.subject.name, name, title, value.value, low, high, *rest])
    return ["model", "metric", "title", "value", "low", "high", *parts], rows


def verdicts_table(table: Table) -> tuple[list[str], list[list[Any]]]:
    """A row per pair and metric: the difference, its p, and the verdict."""
    heads = ["metric", "first", "second", "difference", "standard_error", "p", "adjusted_p", "said"]
    rows: list[list[Any]] = []
    for verdict in table.verdicts:
        gap = verdict.difference
        numbers = [gap.value, gap.standard_error, gap.p, gap.adjusted]
        rows.append([verdict.metric, verdict.first, verdict.second, *numbers, verdict.outcome])
    return heads, rows


def _table(heads: list[str], rows: list[list[Any]]) -> Any:
    """A W&B table; an empty column is left out, because it has no type."""
    import wandb

    indices = [i for i in range(len(heads)) if any(row[i] is not None for row in rows)]
    return wandb.Table(
        columns=[visible(heads[i]) for i in indices],
        data=[[_plain(row[i]) for i in indices] for row in rows],
    )


def _plain(value: object) -> object:
    if isinstance(value, str):
        return visible(value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
