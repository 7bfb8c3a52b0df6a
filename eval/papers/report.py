"""A reproduced table for programs and for people: CSV and Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from eval.papers.judge import NOT_RUN, VERDICTS, Outcome
from eval.papers.table import Table
from eval.table.metric_columns import NONE
from zoo.system.text import csv_text, markdown_table

_COLUMNS = ["row", "metric", "paper", "from_memory", "ours", "low", "high", "difference"]
_COLUMNS += ["tolerance", "verdict", "why", "not_matched"]
_HEADS = ["row", "metric", "table", "ours", "95 % interval", "difference", "tolerance", "verdict"]


def to_csv(outcomes: Sequence[Outcome]) -> str:
    """A line per number; what is not there is empty."""
    rows = []
    for one in outcomes:
        low, high = one.ours.interval if one.ours and one.ours.interval else (None, None)
        ours = None if one.ours is None else one.ours.value
        numbers = [one.paper, one.row.from_memory, ours, low, high, one.difference, _within(one)]
        words = [one.verdict, one.why, "; ".join(one.unmatched)]
        rows.append([one.row.name, one.metric, *numbers, *words])
    return csv_text(_COLUMNS, rows, end="\r\n")


def to_markdown(table: Table, outcomes: Sequence[Outcome], command: str) -> str:
    """The numbers side by side, then what was not matched and why rows were not run."""
    arxiv = f" ([arXiv:{table.arxiv}](https://arxiv.org/abs/{table.arxiv}))" if table.arxiv else ""
    lines = [f"# {table.paper}, {table.table}", ""]
    lines += [f"{table.title or table.paper}{arxiv}, measured by `{command}`.", ""]
    lines += [markdown_table(_HEADS, map(_row, outcomes)), ""]
    counts = {verdict: sum(one.verdict == verdict for one in outcomes) for verdict in VERDICTS}
    lines += [", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + ".", ""]
    lines += [
        "The interval covers sampling noise of ours for these weights and this reference; the "
        "table's number has noise of its own.",
        "",
    ]
    differs = _grouped([(one.row.name, text) for one in outcomes for text in one.unmatched])
    lines += _section("What was not matched", differs)
    whys = [(one.row.name, one.why) for one in outcomes if one.why]
    lines += _section("Not run, or not comparable", _grouped(whys))
    return "\n".join(lines).rstrip("\n") + "\n"


def told(one: Outcome) -> str:
    """An outcome in one line, for a terminal."""
    ours = NONE if one.ours is None else _number(one.ours.value)
    verdict = f"{one.verdict}: {one.why}" if one.why else one.verdict
    return f"  {one.metric}: {ours}, the table has {_paper(one)}: {verdict}"


def _row(one: Outcome) -> list[str]:
    ours, interval, difference, within = NONE, NONE, NONE, _within(one)
    if one.ours is not None:
        ours = _number(one.ours.value)
        if one.ours.interval is not None:
            interval = " to ".join(map(_number, one.ours.interval))
    if one.difference is not None:
        difference = f"{one.difference:+.2g}"
    tolerance = NONE if within is None else f"± {within:.2g}"
    texts = [one.row.name, one.metric, _paper(one), ours, interval, difference, tolerance]
    return [*texts, one.verdict]


def _paper(one: Outcome) -> str:
    number = NONE if one.paper is None else _number(one.paper)
    return f"{number} (from memory)" if one.row.from_memory else number


def _number(number: float) -> str:
    """Five digits, as the tables have them; whoever compares wants more than a page's three."""
    return f"{number:.5g}"


def _within(one: Outcome) -> float | None:
    if one.verdict == NOT_RUN or one.paper is None or one.metric not in one.row.tolerance:
        return None
    return one.row.within(one.metric)


def _section(title: str, texts: dict[str, list[str]]) -> list[str]:
    if not texts:
        return []
    return [f"## {title}", "", *(f"- {t} ({', '.join(names)})" for t, names in texts.items()), ""]


def _grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Each text with the rows that it is about."""
    found: dict[str, dict[str, None]] = {}
    for name, text in pairs:
        found.setdefault(text, {})[name] = None
    return {text: list(names) for text, names in found.items()}
