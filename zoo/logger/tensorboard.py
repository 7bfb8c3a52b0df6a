"""TensorBoard: one value of each name in a step, also in a resumed training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from zoo.logger.csv import Row, numbers


class TensorBoard(TensorBoardLogger):
    """Lightning's logger, whose resumed runs tell TensorBoard to drop what they make again."""

    _step: int | None = None
    _names: frozenset[str] = frozenset()  # of what has been logged in that step

    @rank_zero_only
    def resume(self, step: int, rows: Sequence[Row] = ()) -> None:
        """Goes on after ``step`` steps, in a file of its own that outdates what comes after them.

        Args:
            step: steps that the resumed state is after.
            rows: of metrics.csv; that of the last step is written again, for it may get more.
        """
        if self._experiment is not None:
            self._experiment.close()
            self._experiment = None
        last = next((row for row in rows if row["step"] == step - 1), None)
        self._kwargs["purge_step"] = step if last is None else step - 1
        if last is not None:
            self.log_metrics(numbers(last), step - 1)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds the values that the step does not have yet."""
        if step != self._step:
            self._step, self._names = step, frozenset()
        new = {name: value for name, value in metrics.items() if name not in self._names}
        self._names |= new.keys()
        super().log_metrics(new, step)

    @rank_zero_only
    def sync(self) -> None:
        """Writes what waits in memory."""
        self.experiment.flush()
