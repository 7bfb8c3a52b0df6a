"""A reproduced table for programs and for people: CSV and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from eval.papers.judge import NOT_RUN, VERDICTS, Outcome
from eval.papers.table import PaperTable
from eval.table.metric_columns import NONE
from zoo.system.text import (
    Markdown,
    csv_text,
    markdown_code,
    markdown_items,
    markdown_table,
    markdown_text,
    one_line,
    visible,
)

_COLUMNS = ["row", "metric", "paper", "from_memory", "ours", "low", "high", "difference"]
_COLUMNS += ["tolerance", "verdict", "why", "not_matched"]
_HEADS = ["row", "metric", "table", "ours", "95 % interval", "difference", "tolerance", "verdict"]


def to_csv(outcomes: Sequence[Outcome]) -> str:
    """A line per number; missing facts are empty."""
    rows = []
    for outcome in outcomes:
        low, high = (outcome.value.interval if outcome.value else None) or (None, None)
        value = None if outcome.value is None else outcome.value.value
        numbers = [value, low, high, outcome.difference, _within(outcome)]
        words = [outcome.verdict, outcome.why, "; ".join(outcome.unmatched)]
        row = [outcome.row.name, outcome.metric, outcome.paper, outcome.row.from_memory]
        rows.append([*row, *numbers, *words])
    return csv_text(_COLUMNS, rows, end="\r\n")


def to_markdown(table: PaperTable, outcomes: Sequence[Outcome], command: str) -> str:
    """The numbers side by side, then everything unmatched, and why rows were not run."""
    source = markdown_text(table.title or table.paper)
    if table.arxiv:
        address = f"https://arxiv.org/abs/{quote(visible(table.arxiv))}"
        source = Markdown(f"{source} ([{markdown_text(f'arXiv:{table.arxiv}')}]({address}))")
    lines = [f"# {markdown_text(f'{table.paper}, {table.table}')}", ""]
    lines += [f"{source}, measured by {markdown_code(command)}.", ""]
    lines += [markdown_table(_HEADS, map(_row, outcomes)), ""]
    verdicts = [outcome.verdict for outcome in outcomes]
    lines += [", ".join(f"{verdicts.count(name)} {name}" for name in VERDICTS) + ".", ""]
    lines += [
        "The interval covers the sampling noise of our number for these weights and this "
        "reference; the table's number has noise of its own.",
        "",
    ]
    differences = [(o.row.name, text) for o in outcomes for text in o.unmatched]
    lines += _section("What was not matched", differences)
    reasons = [(o.row.name, o.why) for o in outcomes if o.why]
    lines += _section("Not run, or not comparable", reasons)
    return "\n".join(lines).rstrip("\n") + "\n"


def sentence(outcome: Outcome) -> str:
    """An outcome in one line, for a terminal."""
    value = NONE if outcome.value is None else _number(outcome.value.value)
    verdict = f"{outcome.verdict}: {outcome.why}" if outcome.why else outcome.verdict
    return "  " + one_line(f"{outcome.metric}: {value}, the table has {_paper(outcome)}: {verdict}")


def _row(outcome: Outcome) -> list[str]:
    value, interval, difference, within = NONE, NONE, NONE, _within(outcome)
    if outcome.value is not None:
        value = _number(outcome.value.value)
        if outcome.value.interval is not None:
            interval = " to ".join(map(_number, outcome.value.interval))
    if outcome.difference is not None:
        difference = f"{outcome.difference:+.2g}"
    tolerance = NONE if within is None else f"± {within:.2g}"
    name, metric, verdict = outcome.row.name, outcome.metric, outcome.verdict
    return [name, metric, _paper(outcome), value, interval, difference, tolerance, verdict]


def _paper(outcome: Outcome) -> str:
    number = NONE if outcome.paper is None else _number(outcome.paper)
    return f"{number} (from memory)" if outcome.row.from_memory else number


def _number(number: float) -> str:
    """Five digits, as in the tables, for comparison; pages have three."""
    return f"{number:.5g}"


def _within(outcome: Outcome) -> float | None:
    row, metric = outcome.row, outcome.metric
    if outcome.verdict == NOT_RUN or outcome.paper is None or metric not in row.tolerance:
        return None
    return row.within(metric)


def _section(title: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """A list of the distinct texts, each with the names of its rows."""
    names_of: dict[str, dict[str, None]] = {}
    for name, text in pairs:
        names_of.setdefault(text, {})[name] = None
    lines = markdown_items(f"{text} ({', '.join(names)})" for text, names in names_of.items())
    return [f"## {title}", "", *lines, ""] if lines else []
