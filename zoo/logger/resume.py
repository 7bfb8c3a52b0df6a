"""Trackers of a run that is resumed: none has a step twice, none lacks one."""

from __future__ import annotations

from collections.abc import Iterable

from lightning.pytorch.loggers import Logger

from zoo.logger.csv import MetricsCSV, rows_of


def resume(loggers: Iterable[Logger], step: int) -> None:
    """Makes loggers go on with a run of which ``step`` steps are done.

    The rows of metrics.csv, which are on the disk before the state that covers them, fill what a
    kill has taken from the others.
    """
    loggers = list(loggers)
    files = [logger.path for logger in loggers if isinstance(logger, MetricsCSV)]
    rows = [row for row in rows_of(files[0]) if row["step"] < step] if files else []
    for logger in loggers:
        if hasattr(logger, "resume"):
            logger.resume(step, rows)
