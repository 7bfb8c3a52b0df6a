"""``zoo reproduce``: one evaluation for each row that can be run, compared with the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from eval.papers import files, judge
from eval.papers.judge import NOT_REPRODUCED, Outcome
from eval.papers.report import sentence, to_csv, to_markdown
from eval.papers.table import PaperRow, PaperTable, paper_table
from eval.result.record import Result
from eval.study.evaluation import evaluation
from zoo import entry, paths
from zoo.checkpoint import published
from zoo.command.overrides import command_line, key_of, quoted
from zoo.system.errors import explain
from zoo.system.files import write_atomically
from zoo.system.text import one_line

_OWN = ("table", "rows", "run_dir", "weights", "papers")  # keys that `zoo evaluate` does not have
_NO_RECIPE = "no published weights that the zoo can load are known for this row"

Evaluate = Callable[[DictConfig], Result]


def reproduce(cfg: DictConfig) -> Path:
    """``zoo reproduce``: writes reproduce.md, reproduce.csv and a JSON result for each row.

    Raises:
        SystemExit: with code 1, after all is written, where a row that was run is not reproduced,
            or no row with available weights could be measured.
    """
    own = [o for o in HydraConfig.get().overrides.task if key_of(o) not in _OWN]
    folder = Path(cfg.run_dir)
    table = paper_table(cfg.table, _path(cfg.papers))
    rows = table.choose([str(pattern) for pattern in cfg.rows])
    evaluate: Evaluate = lambda cfg: evaluation(cfg).result  # noqa: E731
    outcomes = run(rows, own, folder, evaluate, _path(cfg.weights))
    keys = [f"table={table.name}", *([f"rows=[{','.join(cfg.rows)}]"] if cfg.rows else [])]
    write(folder, table, outcomes, command_line("reproduce", [*keys, *own]))
    runnable = [o for o in outcomes if not lacking(o.row, own, _path(cfg.weights))]
    nothing = bool(runnable) and all(o.value is None for o in runnable)  # such as num_images=0
    if nothing or any(outcome.verdict == NOT_REPRODUCED for outcome in outcomes):
        raise SystemExit(1)
    return folder


def run(
    rows: Sequence[PaperRow],
    own: Sequence[str],
    folder: Path,
    evaluate: Evaluate,
    weights: Path | None = None,
) -> list[Outcome]:
    """Evaluates every row whose weights are available, and judges it.

    Raises:
        ValueError: a row's overrides do not compose; nothing is measured then.
    """
    missing = {row.name: lacking(row, own, weights) for row in rows}
    composed = {
        row.name: entry.compose("evaluate", overrides(row, own, weights))
        for row in rows
        if not missing[row.name]
    }
    outcomes: list[Outcome] = []
    for number, row in enumerate(rows):
        if why := missing[row.name]:
            outcomes += judge.not_run(row, why)
            continue
        print(f"{number + 1} of {len(rows)}: {one_line(row.name)}", flush=True)
        try:
            result = evaluate(composed[row.name])
        except Exception as error:
            line = explain(error, list)
            if line is None:
                raise
            results = judge.not_run(row, line)
        else:
            result.save(folder / f"{row.name}.json")
            results = judge.judge(row, result)
        print("\n".join(map(sentence, results)), flush=True)
        outcomes += results
    return outcomes


def lacking(row: PaperRow, own: Sequence[str], weights: Path | None = None) -> str:
    """Why a row cannot be run, with the remedy; "" where it can."""
    if not row.weights:
        return _NO_RECIPE
    named = {key_of(override) for override in own}
    for key, name in row.weights.items():
        if key in named or files.weights_file(name, weights) is not None:
            continue
        folders = ", ".join(str(place.parent) for place in files.places(name, weights))
        target = paths.cache() / "checkpoints" / f"{name}.safetensors"
        return (
            f"no {name}.safetensors in {folders}: download {published.entry(name)['source']} and "
            f"run `zoo convert name={name} source=FILE out={target}`"
        )
    return ""


def overrides(row: PaperRow, own: Sequence[str], weights: Path | None = None) -> list[str]:
    """The overrides of ``zoo evaluate`` for a row: its settings, then the user's instead."""
    row_overrides = [f"name={quoted(row.name)}", *row.evaluate]
    for key, name in row.weights.items():
        if (file := files.weights_file(name, weights)) is not None:
            row_overrides.append(f"{key}={quoted(file)}")
    named = [key_of(override) for override in own]
    row_overrides = [o for o in row_overrides if not any(_covers(k, key_of(o)) for k in named)]
    return row_overrides + list(own)


def write(folder: Path, table: PaperTable, outcomes: Sequence[Outcome], command: str) -> None:
    """Writes the comparison as Markdown and CSV, and prints it."""
    text = to_markdown(table, outcomes, command)
    print(f"\n{text}")
    for name, content in {"reproduce.md": text, "reproduce.csv": to_csv(outcomes)}.items():
        print(f"wrote {write_atomically(folder / name, content)}")


def _covers(key: str, own: str) -> bool:
    """Another sampler has other settings: ``sampler=`` replaces ``sampler.eta=`` too."""
    return own == key or own.startswith(f"{key}.")


def _path(path: Any) -> Path | None:
    return None if path is None else Path(path).expanduser()
