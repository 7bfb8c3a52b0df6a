"""What ``zoo reproduce`` does: one evaluation per row that can be run, and the table beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from eval.papers import files, judge
from eval.papers.judge import NOT_REPRODUCED, Outcome
from eval.papers.report import to_csv, to_markdown, told
from eval.papers.table import Row, Table
from eval.papers.table import table as find
from eval.result.record import Result
from eval.study.evaluation import evaluation
from zoo import entry, paths
from zoo.checkpoint import published
from zoo.command.overrides import key_of, quoted
from zoo.system.errors import explain
from zoo.system.files import write_atomically

_OWN = ("table", "rows", "run_dir", "weights", "papers")  # keys that `zoo evaluate` has not
_NO_RECIPE = "nothing published that the zoo can load is known to make this row"

Evaluate = Callable[[DictConfig], Result]


def reproduce(cfg: DictConfig) -> Path:
    """``zoo reproduce``: writes reproduce.md, reproduce.csv and a JSON result for each row.

    Raises:
        SystemExit: with code 1, when all is written, where a row that was run is not reproduced, or
            none of those whose weights are at hand could be measured.
    """
    given = [o for o in HydraConfig.get().overrides.task if key_of(o) not in _OWN]
    folder = Path(cfg.run_dir)
    table = find(cfg.table, _path(cfg.papers))
    rows = table.choose([str(one) for one in cfg.rows])
    evaluate: Evaluate = lambda one: evaluation(one).result  # noqa: E731
    outcomes = run(rows, given, folder, evaluate, _path(cfg.weights))
    asked = [f"table={table.name}", *([f"rows=[{','.join(cfg.rows)}]"] if cfg.rows else [])]
    write(folder, table, outcomes, " ".join(["zoo reproduce", *asked, *given]))
    tried = [one for one in outcomes if not lacking(one.row, given, _path(cfg.weights))]
    nothing = bool(tried) and all(one.ours is None for one in tried)  # such as num_images=0
    if nothing or any(one.verdict == NOT_REPRODUCED for one in outcomes):
        raise SystemExit(1)
    return folder


def run(
    rows: Sequence[Row],
    given: Sequence[str],
    folder: Path,
    evaluate: Evaluate,
    weights: Path | None = None,
) -> list[Outcome]:
    """Evaluates every row whose weights are at hand, and judges it.

    Args:
        rows: of one table.
        given: overrides of ``zoo evaluate`` that come after each row's own.
        folder: for a JSON result per row.
        evaluate: measures a composed configs/evaluate.yaml.
        weights: a folder of converted checkpoints.

    Raises:
        ValueError: a row's overrides do not compose; nothing is measured then.
    """
    missing = {row.name: lacking(row, given, weights) for row in rows}
    composed = {
        row.name: entry.compose("evaluate", overrides(row, given, weights))
        for row in rows
        if not missing[row.name]
    }
    outcomes: list[Outcome] = []
    for number, row in enumerate(rows):
        if why := missing[row.name]:
            outcomes += judge.not_run(row, why)
            continue
        print(f"{number + 1} of {len(rows)}: {row.name}", flush=True)
        try:
            result = evaluate(composed[row.name])
        except Exception as error:
            line = explain(error, list)
            if line is None:
                raise
            found = judge.not_run(row, line)
        else:
            result.save(folder / f"{row.name}.json")
            found = judge.judge(row, result)
        print("\n".join(map(told, found)), flush=True)
        outcomes += found
    return outcomes


def lacking(row: Row, given: Sequence[str], weights: Path | None = None) -> str:
    """Why a row cannot be run, with what to do about it; empty where it can."""
    if not row.weights:
        return _NO_RECIPE
    named = {key_of(override) for override in given}
    for key, name in row.weights.items():
        if key in named or files.weights(name, weights) is not None:
            continue
        looked = ", ".join(str(place.parent) for place in files.places(name, weights))
        target = paths.cache() / "checkpoints" / f"{name}.safetensors"
        return (
            f"no {name}.safetensors in {looked}: download {published.entry(name)['source']} and "
            f"run `zoo convert name={name} source=FILE out={target}`"
        )
    return ""


def overrides(row: Row, given: Sequence[str], weights: Path | None = None) -> list[str]:
    """What ``zoo evaluate`` is told for a row: its own settings, those given in their place."""
    own = [f"name={quoted(row.name)}", *row.evaluate]
    for key, name in row.weights.items():
        if (file := files.weights(name, weights)) is not None:
            own.append(f"{key}={quoted(file)}")
    named = [key_of(override) for override in given]
    return [o for o in own if not any(_covers(key, key_of(o)) for key in named)] + list(given)


def write(folder: Path, table: Table, outcomes: Sequence[Outcome], command: str) -> None:
    """The comparison, for people and for programs; people see it at once."""
    text = to_markdown(table, outcomes, command)
    print(f"\n{text}")
    for name, content in {"reproduce.md": text, "reproduce.csv": to_csv(outcomes)}.items():
        print(f"wrote {write_atomically(folder / name, content)}")


def _covers(given: str, own: str) -> bool:
    """Another sampler has other settings: ``sampler=`` takes ``sampler.eta=`` out too."""
    return own == given or own.startswith(f"{given}.")


def _path(given: Any) -> Path | None:
    return None if given is None else Path(given).expanduser()
