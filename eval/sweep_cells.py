"""A sweep's cells: each one evaluation, all from the same seeds, found again where made."""

from __future__ import annotations

import csv
import functools
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from eval import loading, verbs
from eval.column import short, title_of
from eval.protocol import flattened
from eval.result import Result, write_atomically
from eval.yardstick import Yardstick, measure
from zoo import entry
from zoo.device import accelerator


@dataclass(frozen=True)
class Cell:
    """One point of a sweep.

    Attributes:
        settings: swept key to value, as text, in the order of the axes.
        result: what was measured there.
    """

    settings: dict[str, str]
    result: Result


def sweep(cfg: DictConfig, overrides: Sequence[str]) -> Path:
    """Measures every combination of the axes; writes sweep.csv, sweep.md and sweep.png.

    What was measured before is found in the cache, so an interrupted sweep goes on at its cell.

    Args:
        cfg: configs/sweep.yaml, composed.
        overrides: what it was composed with.

    Raises:
        ValueError: there is no axis, or a cell's settings do not compose; nothing is measured then.
    """
    if not cfg.axes:
        raise ValueError(
            "nothing to sweep over: give at least one key several values, such as "
            "sampler.num_steps=5,10,20,50"
        )
    own = ("axes", "run_dir")
    fixed = [o for o in overrides if o.partition("=")[0] not in own]
    combinations = [list(cell) for cell in itertools.product(*cfg.axes)]
    composed = [entry.compose("evaluate", [*fixed, *cell]) for cell in combinations]
    shared = _Shared()
    folder, cells = Path(cfg.run_dir), []
    for number, (chosen, one) in enumerate(zip(combinations, composed, strict=True)):
        settings = dict(override.split("=", 1) for override in chosen)
        print(f"{number + 1} of {len(composed)}: {', '.join(chosen)}", flush=True)
        evaluation = verbs.evaluation(one, shared.parts(one))
        evaluation.result.save(folder / f"{number:03d}.json")
        print(f"  {told(evaluation.result)}", flush=True)
        cells.append(Cell(settings, evaluation.result))
    return write(folder, cells, " ".join(["zoo sweep", *fixed, *map(_as_list, cfg.axes)]))


def write(folder: Path, cells: Sequence[Cell], command: str) -> Path:
    """The table, for programs and for people, and the picture."""
    from eval.sweep_picture import picture

    written: dict[str, str | bytes] = {
        "sweep.csv": to_csv(cells),
        "sweep.md": to_markdown(cells, command),
        "sweep.png": picture(cells),
    }
    for name, content in written.items():
        print(f"wrote {write_atomically(folder / name, content)}")
    return folder


def to_csv(cells: Sequence[Cell]) -> str:
    """A row per cell: its settings, what it cost, every value with its interval."""
    rows = []
    for cell in cells:
        row: dict[str, Any] = {**cell.settings, "network_evaluations": evaluations(cell)}
        for name, value in cell.result.values.items():
            row[name] = value.value
            if value.interval is not None:
                row[f"{name}_low"], row[f"{name}_high"] = value.interval
        rows.append(row)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(k for row in rows for k in row)))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def to_markdown(cells: Sequence[Cell], command: str) -> str:
    """The same for people."""
    shown = {
        name: title_of(name, value)
        for cell in cells
        for name, value in cell.result.values.items()
        if not name.startswith("nearest_")
    }
    heads = [*cells[0].settings, "network evaluations", *shown.values()]
    lines = [f"Made by `{command}`.", "", _row(heads), _row(["---"] * len(heads))]
    for cell in cells:
        texts = []
        for name in shown:
            value = cell.result.values.get(name)
            text = "–" if value is None else short(value.value)
            if value is not None and value.interval is not None:
                text += f" ({short(value.interval[0])} to {short(value.interval[1])})"
            texts.append(text)
        lines.append(_row([*cell.settings.values(), f"{evaluations(cell):g}", *texts]))
    lines += ["", "In brackets: the 95 % interval, for these weights and this reference."]
    return "\n".join(lines) + "\n"


def evaluations(cell: Cell) -> float:
    """Network evaluations per image, counted."""
    return cell.result.subject.network_evaluations


def told(result: Result) -> str:
    """A cell in one line."""
    fid = next(((n, v) for n, v in result.values.items() if n.startswith("fid")), None)
    quality = f"{title_of(*fid)} {short(fid[1].value)}" if fid else ""
    return f"{quality} at {result.subject.network_evaluations:g} network evaluations"


class _Shared:
    """Data, extractors and what models are held against: once for all cells that agree in them."""

    def __init__(self) -> None:
        self._made: dict[str, verbs.Shared] = {}

    def parts(self, cfg: DictConfig) -> verbs.Shared:
        """Those of one cell."""
        kept = ["data", "extractor", "metric", "device", "num_images", "fid_counts", "nearest"]
        kept += ["reference", "held_out"]
        whole: Any = OmegaConf.to_container(cfg, resolve=True)
        key = str({name: whole.get(name) for name in kept})
        if key not in self._made:
            data = loading.compared_with(cfg, flattened(cfg))
            found = loading.extractors(cfg, accelerator(cfg.device))
            self._made[key] = verbs.Shared(data, found, _yardstick(cfg, data, found))
        return self._made[key]


def _yardstick(cfg: DictConfig, data: Any, found: loading.Extractors) -> Any:
    def make() -> Yardstick:
        held_out = cfg.num_images if data.test is None else len(data.test)
        given = cfg.fid_counts or {min(cfg.num_images, held_out), cfg.num_images}
        metrics, cache = loading.metrics(cfg), loading.cache(cfg)
        counts = sorted(set(given))
        return measure(data, *found, counts, cfg.batch_size, metrics, cache, cfg.nearest)

    return functools.cache(make)


def _as_list(axis: Sequence[str]) -> str:
    key = axis[0].partition("=")[0]
    return f"{key}={','.join(one.partition('=')[2] for one in axis)}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
