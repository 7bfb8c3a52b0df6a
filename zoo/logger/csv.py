"""Curves in one CSV file, which a resumed run continues."""

from __future__ import annotations

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only


class MetricsCSV(Logger):
    """One row per step, one column per metric, empty where a step has no such value.

    Lightning's own ``CSVLogger`` deletes the old file when a run is resumed. This one keeps its
    rows up to the step that the resumed run begins with, so that no step occurs twice.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] | None = None
        self._pending: list[dict[str, Any]] = []
        self._last_step = -1  # in the file

    @property
    def name(self) -> str:
        """Required by Lightning; otherwise unused."""
        return "csv"

    @property
    def version(self) -> str:
        """As ``name``."""
        return ""

    @property
    def save_dir(self) -> str:
        """The file's folder."""
        return str(self.path.parent)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Nothing: the run folder has the config."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Adds values to the row of ``step``."""
        step = 0 if step is None else step
        row = {"step": step, **metrics}
        if self._columns is None:
            self._begin(step)
        if self._pending and self._pending[-1]["step"] == step:
            self._pending[-1].update(row)
        else:
            self._pending.append(row)

    @rank_zero_only
    def save(self) -> None:
        """Writes what is not yet in the file; values of its last step join that step's row."""
        if not self._pending or self._columns is None:
            return
        rows, self._pending = self._pending, []
        new = [key for row in rows for key in row if key not in self._columns]
        continues = rows[0]["step"] == self._last_step
        self._last_step = rows[-1]["step"]
        if new or continues or not self.path.exists():
            written = self._read()
            if continues and written:
                rows[0] = {**written.pop(), **rows[0]}
            self._columns += list(dict.fromkeys(new))
            self._write(written + rows, "w")
        else:
            self._write(rows, "a")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes the remaining rows."""
        self.save()

    def _begin(self, step: int) -> None:
        """Drops the rows of steps that will be made again."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        earlier = [row for row in self._read() if int(row["step"]) < step]
        self._columns = list(earlier[0]) if earlier else ["step"]
        self._write(earlier, "w")

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _write(self, rows: list[dict[str, Any]], mode: str) -> None:
        with self.path.open(mode, newline="") as file:
            writer = csv.DictWriter(file, self._columns or ["step"], restval="")
            if mode == "w":
                writer.writeheader()
            writer.writerows(rows)
