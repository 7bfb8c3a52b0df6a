"""Curves in one CSV file, which a resumed run continues."""

from __future__ import annotations

import csv
import errno
import io
import os
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from zoo.system.files import write_atomically

Row = dict[str, Any]


class MetricsCSV(Logger):
    """One row per step, one column per metric, empty where a step has no such value.

    Whole rows are appended; whatever changes what is written already (a new column, another value
    of the last row, rows that a resumed run makes again) replaces the file by a new one. So a kill
    leaves every row but that of the step it comes in, and no row of which a part is missing.

    Lightning's own ``CSVLogger`` deletes the old file when a run is resumed.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] | None = None  # of the file; None before it is looked at
        self._rows: list[Row] = []  # not yet in the file, or with more values than there
        self._last: Row = {"step": -1}  # of the file
        self._torn = False
        self._warned = False

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
    def resume(self, step: int, rows: Sequence[Row] = ()) -> None:
        """Drops the rows of steps that will be made again: those from ``step`` on.

        Args:
            step: steps that the resumed state is after.
            rows: nothing; for other loggers, who take theirs from here.
        """
        rows = [row for row in rows_of(self.path) if row["step"] < step]
        self._columns = list(rows[0]) if rows else ["step"]
        self._last, self._rows = rows[-1] if rows else {"step": -1}, []
        if self.path.exists():
            self._replace(rows)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Adds values to the row of ``step``, and writes the rows of earlier ones."""
        step = 0 if step is None else step
        if self._columns is None:
            self.resume(step)
        if self._rows and self._rows[-1]["step"] == step:
            self._rows[-1].update(metrics)
        elif step != self._last["step"]:
            self._write()
            self._rows.append({"step": step, **metrics})
        elif any(str(self._last.get(key)) != str(value) for key, value in metrics.items()):
            self._rows.append({**self._last, **metrics})

    @rank_zero_only
    def save(self) -> None:
        """Writes what is not yet in the file."""
        self._write()

    @rank_zero_only
    def sync(self) -> None:
        """Writes what is not yet in the file, and waits until it is on the disk.

        Raises:
            OSError: it cannot be written.
        """
        self._flush()
        if self.path.exists():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes the remaining rows."""
        self._write()

    def _write(self) -> None:
        """As ``_flush``; where the disk is full, rows wait for the next time."""
        try:
            self._flush()
        except OSError as error:
            if not self._warned:
                rank_zero_warn(
                    f"{self.path} cannot be written ({error.strerror}): rows wait in memory"
                )
            self._warned = True

    def _flush(self) -> None:
        """Appends the rows, or replaces the file where that is not enough."""
        if not self._rows:
            return
        assert self._columns is not None
        new = dict.fromkeys(key for row in self._rows for key in row if key not in self._columns)
        again = self._rows[0]["step"] <= self._last["step"]
        if new or again or self._torn or not self.path.exists():
            merged = {row["step"]: row for row in rows_of(self.path)}
            for row in self._rows:
                merged[row["step"]] = {**merged.get(row["step"], {}), **row}
            self._columns += new
            self._replace(merged[step] for step in sorted(merged))
        else:
            self._append("".join(_text(row, self._columns) for row in self._rows))
        self._last, self._rows = self._rows[-1], []

    def _append(self, text: str) -> None:
        """Adds lines in one call, so that a kill comes before or after them."""
        self._torn = True
        with self.path.open("ab", buffering=0) as file:
            data = text.encode()
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self._torn = False

    def _replace(self, rows: Iterable[Row]) -> None:
        columns = self._columns or ["step"]
        header = _text(dict(zip(columns, columns, strict=True)), columns)
        write_atomically(self.path, header + "".join(_text(row, columns) for row in rows))
        self._torn = False


def rows_of(path: Path) -> list[Row]:
    """The rows of a file of curves, numbers still as texts; none where there is no such file.

    A last line that a kill or a full disk has torn is left out.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    if not lines or lines[0][:1] != ["step"]:
        return []
    columns, rows = lines[0], {}
    for line in lines[1:]:
        if len(line) == len(columns) and line[0].isdecimal():
            rows[int(line[0])] = {**dict(zip(columns, line, strict=True)), "step": int(line[0])}
    return [rows[step] for step in sorted(rows)]


def numbers(row: Row) -> dict[str, float]:
    """The values of a row of ``rows_of``, without its step and what it lacks."""
    return {
        key: int(text) if text.isdecimal() else float(text)
        for key, text in row.items()
        if key != "step" and text
    }


def _text(row: Row, columns: list[str]) -> str:
    """A row as a line of the file."""
    line = io.StringIO()
    csv.DictWriter(line, columns, restval="", extrasaction="ignore").writerow(row)
    return line.getvalue()
