"""``zoo sweep``: quality against network evaluations, time and guidance, from shared noise."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from eval.measure.reference import Yardstick, measure
from eval.result.record import Result
from eval.study import loading
from eval.study.evaluation import Shared, evaluation
from eval.study.protocol import flattened
from eval.study.sweep_picture import Point, picture
from eval.table.metric_columns import short, title_of
from zoo import entry
from zoo.system.device import accelerator
from zoo.system.files import write_atomically
from zoo.system.text import csv_text, markdown_table


def sweep(cfg: DictConfig, overrides: Sequence[str] | None = None) -> Path:
    """Measures every combination of the axes; writes sweep.csv, sweep.md and sweep.png.

    What was measured before is found in the cache, so an interrupted sweep goes on at its point.

    Args:
        cfg: configs/sweep.yaml, composed.
        overrides: what it was composed with; the running verb's when None.

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
    shared = _Shared()
    folder, points = Path(cfg.run_dir), []
    for number, (chosen, one) in enumerate(zip(combinations, composed, strict=True)):
        settings = dict(override.split("=", 1) for override in chosen)
        print(f"{number + 1} of {len(composed)}: {', '.join(chosen)}", flush=True)
        result = evaluation(one, shared.parts(one)).result
        result.save(folder / f"{number:03d}.json")
        print(f"  {told(result)}", flush=True)
        points.append(Point(settings, result))
    return write(folder, points, " ".join(["zoo sweep", *fixed, *map(_as_list, cfg.axes)]))


def write(folder: Path, points: Sequence[Point], command: str) -> Path:
    """The table, for programs and for people, and the picture."""
    written: dict[str, str | bytes] = {
        "sweep.csv": to_csv(points),
        "sweep.md": to_markdown(points, command),
        "sweep.png": picture(points),
    }
    for name, content in written.items():
        print(f"wrote {write_atomically(folder / name, content)}")
    return folder


def to_csv(points: Sequence[Point]) -> str:
    """A row per point: its settings, what it cost, every value with its interval."""
    rows = []
    for point in points:
        row: dict[str, Any] = {**point.settings, "network_evaluations": evaluations(point)}
        for name, value in point.result.values.items():
            row[name] = value.value
            if value.interval is not None:
                row[f"{name}_low"], row[f"{name}_high"] = value.interval
        rows.append(row)
    heads = list(dict.fromkeys(name for row in rows for name in row))
    return csv_text(heads, [[row.get(name) for name in heads] for row in rows], end="\r\n")


def to_markdown(points: Sequence[Point], command: str) -> str:
    """The same for people."""
    shown = {
        name: title_of(name, value)
        for point in points
        for name, value in point.result.values.items()
        if not name.startswith("nearest_")
    }
    heads = [*points[0].settings, "network evaluations", *shown.values()]
    rows = []
    for point in points:
        texts = []
        for name in shown:
            value = point.result.values.get(name)
            text = "–" if value is None else short(value.value)
            if value is not None and value.interval is not None:
                text += f" ({short(value.interval[0])} to {short(value.interval[1])})"
            texts.append(text)
        rows.append([*point.settings.values(), f"{evaluations(point):g}", *texts])
    brackets = "In brackets: the 95 % interval, for these weights and this reference."
    return f"Made by `{command}`.\n\n{markdown_table(heads, rows)}\n\n{brackets}\n"


def evaluations(point: Point) -> float:
    """Network evaluations per image, counted."""
    return point.result.subject.network_evaluations


def told(result: Result) -> str:
    """A point in one line."""
    fid = next(((n, v) for n, v in result.values.items() if n.startswith("fid")), None)
    quality = f"{title_of(*fid)} {short(fid[1].value)}" if fid else ""
    return f"{quality} at {result.subject.network_evaluations:g} network evaluations"


class _Shared:
    """Data, extractors and what models are held against: once for all points that agree in them."""

    def __init__(self) -> None:
        self._made: dict[str, Shared] = {}

    def parts(self, cfg: DictConfig) -> Shared:
        """Those of one point."""
        kept = ["data", "extractor", "metric", "device", "num_images", "fid_counts", "nearest"]
        kept += ["reference", "held_out"]
        whole: Any = OmegaConf.to_container(cfg, resolve=True)
        key = str({name: whole.get(name) for name in kept})
        if key not in self._made:
            data = loading.compared_with(cfg, flattened(cfg))
            found = loading.extractors(cfg, accelerator(cfg.device))
            self._made[key] = Shared(data, found, _yardstick(cfg, data, found))
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
