"""``zoo sweep``: quality against network evaluations, time and guidance, from shared noise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from eval.report.drawing.sweep_picture import Point, picture
from eval.report.legend import HALF, OF_WEIGHTS, of_notes
from eval.report.text import head
from eval.result.record import Result
from eval.study import loading
from eval.study.evaluation import Shared, evaluation, shared_parts
from eval.table.formatting import has_ratio, short, title_of
from eval.table.metric_columns import columns_of
from zoo import entry
from zoo.command.overrides import command_line
from zoo.system.files import write_atomically
from zoo.system.text import csv_text, markdown_code, markdown_items, markdown_table, one_line


def sweep(cfg: DictConfig, overrides: Sequence[str] | None = None) -> Path:
    """Measures every combination of the axes; writes sweep.csv, sweep.md and sweep.png.

    Earlier evaluations come from the cache, so an interrupted sweep resumes where it stopped.

    Raises:
        ValueError: there is no axis, or a point's settings do not compose: nothing is measured.
    """
    overrides = HydraConfig.get().overrides.task if overrides is None else overrides
    if not cfg.axes:
        raise ValueError(
            "nothing to sweep over: give at least one key several values, such as "
            "sampler.num_steps=5,10,20,50"
        )
    own = ("axes", "run_dir")
    fixed = [o for o in overrides if o.partition("=")[0] not in own]
    combinations = [list(point) for point in itertools.product(*cfg.axes)]
    composed = [entry.compose("evaluate", [*fixed, *point]) for point in combinations]
    for point in composed:
        loading.check_subject(point)
    shared = _Shared()
    folder, points = Path(cfg.run_dir), []
    for number, (values, point) in enumerate(zip(combinations, composed, strict=True)):
        settings = dict(override.split("=", 1) for override in values)
        print(f"{number + 1} of {len(composed)}: {one_line(', '.join(values))}", flush=True)
        result = evaluation(point, shared.parts(point)).result
        result.save(folder / f"{number:03d}.json")
        print(f"  {description(result)}", flush=True)
        points.append(Point(settings, result))
    return write(folder, points, command_line("sweep", [*fixed, *map(_as_list, cfg.axes)]))


def write(folder: Path, points: Sequence[Point], command: str) -> Path:
    """Writes the table as CSV and Markdown, and the picture."""
    written: dict[str, str | bytes] = {
        "sweep.csv": to_csv(points),
        "sweep.md": to_markdown(points, command),
        "sweep.png": picture(points),
    }
    for name, content in written.items():
        print(f"wrote {write_atomically(folder / name, content)}")
    return folder


def to_csv(points: Sequence[Point]) -> str:
    """A row per point: its settings, its network evaluations, every value with its interval."""
    rows = []
    for point in points:
        row: dict[str, Any] = {**point.settings, "network_evaluations": point.evaluations}
        if any(value.column == "cost" for value in point.result.values.values()):
            row["machine"] = point.result.environment.machine
        for name, value in point.result.values.items():
            row[name] = value.value
            if value.interval is not None:
                row[f"{name}_low"], row[f"{name}_high"] = value.interval
        rows.append(row)
    heads = list(dict.fromkeys(name for row in rows for name in row))
    return csv_text(heads, [[row.get(name) for name in heads] for row in rows], end="\r\n")


def to_markdown(points: Sequence[Point], command: str) -> str:
    """The same for people."""
    results = [point.result for point in points]
    measured = {name for result in results for name in (*result.values, *result.absent)}
    columns = [c for c in columns_of(results) if c.key in measured and c.on_page]
    heads = [*points[0].settings, "network evaluations", *map(head, columns)]
    rows = [
        [*p.settings.values(), f"{p.evaluations:g}", *(c.cell(p.result).text for c in columns)]
        for p in points
    ]
    legend = of_notes([column.note for column in columns])
    if any(value.interval for result in results for value in result.values.values()):
        legend.insert(0, HALF.format(over=OF_WEIGHTS))
    lines = [f"Made by {markdown_code(command)}.", "", markdown_table(heads, rows), ""]
    return "\n".join([*lines, *markdown_items(legend)]) + "\n"


def description(result: Result) -> str:
    """A point in one line: its first Fréchet distance, and its network evaluations."""
    quality = next(
        (f"{title_of(n, v)} {short(v.value)}" for n, v in result.values.items() if has_ratio(v)), ""
    )
    return f"{quality} at {result.subject.network_evaluations:g} network evaluations"


class _Shared:
    """Data, extractors and reference, built once for all points that share them."""

    _KEYS = (
        *("data", "extractor", "metric", "device", "num_images", "fid_counts"),
        *("reference", "held_out"),
    )

    def __init__(self) -> None:
        self._parts: dict[str, Shared] = {}

    def parts(self, cfg: DictConfig) -> Shared:
        """The objects of one point."""
        values = loading.plain_values(cfg)
        key = str({name: values.get(name) for name in self._KEYS})
        if key not in self._parts:
            self._parts[key] = shared_parts(cfg)
        return self._parts[key]


def _as_list(axis: Sequence[str]) -> str:
    key = axis[0].partition("=")[0]
    return f"{key}={','.join(override.partition('=')[2] for override in axis)}"
