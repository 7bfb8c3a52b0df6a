"""The task of ``zoo check``: the suite on a sampler, a verdict for each property."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo.conformance.suite import CHECKS, conformance
from zoo.conformance.verdict import Verdict
from zoo.sampler import Sampler
from zoo.system.progress import track


def check(cfg: DictConfig) -> list[Verdict]:
    """Runs the suite on ``cfg.sampler`` (configs/check.yaml) and prints their verdicts.

    Raises:
        ValueError: ``cfg.sampler`` is no sampler.
        SystemExit: with code 1, where a check failed.
    """
    sampler = instantiate(cfg.sampler, _convert_="all")
    if not isinstance(sampler, Sampler):
        raise ValueError(
            f"sampler={type(sampler).__name__} is no sampler: subclass zoo.sampler.Sampler"
        )
    with torch.inference_mode():
        verdicts = list(track(conformance(sampler), len(CHECKS), "checking", "checks"))
    failed = print_verdicts(type(sampler).__name__, verdicts)
    if failed:
        raise SystemExit(1)
    return verdicts


def print_verdicts(name: str, verdicts: Sequence[Verdict]) -> int:
    """Prints the verdicts as a table; returns how many failed."""
    words = {True: ("pass", "green"), False: ("FAIL", "bold red"), None: ("n/a", "dim")}
    table = Table(title=f"{name}: conformance", title_justify="left")
    for column in ("property", "verdict", "what was found"):
        table.add_column(column, overflow="fold")
    for verdict in verdicts:
        word, style = words[verdict.passed]
        table.add_row(verdict.property, Text(word, style), Text(verdict.detail))
    failed = sum(verdict.passed is False for verdict in verdicts)
    console = Console()
    console.print(table)
    for verdict in verdicts:
        if verdict.passed is False:
            console.print(f"{verdict.property}: {verdict.asks}", highlight=False, markup=False)
    applicable = sum(verdict.passed is not None for verdict in verdicts)
    console.print(f"{name}: {applicable - failed} of {applicable} properties hold", highlight=False)
    return failed
