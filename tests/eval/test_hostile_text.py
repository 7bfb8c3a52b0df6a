"""Names, commands and settings of a user in every file that a verb writes."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import torch
from markdown_it import MarkdownIt

from eval.papers import report as papers
from eval.papers.judge import NOT_RUN, REPRODUCED, Outcome
from eval.papers.table import PaperRow, PaperTable
from eval.report import wandb_run
from eval.report.drawing.charts import axis_of, bars, forest, lines_of
from eval.report.drawing.curves import curves
from eval.report.drawing.sweep_picture import Point, picture
from eval.report.latex import to_latex
from eval.report.page import page
from eval.report.picture import png, side_by_side
from eval.report.text import summary, to_csv, to_markdown
from eval.study import rosetta, sweep
from eval.table import compare, trainings

NAMES = [
    "[x](javascript:alert(1))", "![](http://x.example/i)", "[x]: http://x.example",
    "<script>alert(1)</script>", "</td></table><img src=x onerror=alert(1)>", "`<script>`",
    "``` `` ` <b>", "a|b\\|c", "a\nb\n# head", "$x^2$ \\input{x} & 5 % of #1 ~^ {a}_b", "$\\frac",
    "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1+1)", "\tx", "\rx", "a\u202eb\u2066c\u2069",
    "\x1b[31mred", "_a_ **b** ~~c~~", "&lt;b&gt;", "[red]a[/blue]", "\udcff", "[a] *b", "../../x",
    "https://x.example", "]]>", "{{ 7 * 7 }} {% x %} << x >>",
]  # fmt: skip
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = {"text", "softbreak", "strong_open", "strong_close", "code_inline"}


@pytest.fixture
def evil(make_result, sure):
    """Makes results with a name in every text that a user or a plug-in chooses."""

    def make(name, *, machine=None):
        result = sure(make_result(fid=4.0, history=[[1, 1.0], [2, 0.5]]), 2.0)
        value = result.values["fid_small_1000"]
        values = {
            **result.values,
            "fid_small_1000": replace(value, title=name, definition=name, extractor=name),
            name: replace(value, title=f"{name}!"),
        }
        subject = replace(
            result.subject, name=name, model=name, sampler=name, grid=name, guidance=name,
            weights=name,
        )  # fmt: skip
        protocol = replace(result.protocol, data=name, labels=name, name=name, metrics={name: name})
        budget = replace(result.budget, optimizer=name, device=name)
        environment = replace(
            result.environment, machine=machine or name, device=name, versions={name: name}
        )
        return replace(
            result, values=values, subject=subject, protocol=protocol, budget=budget,
            environment=environment, absent={f"{name}?": name},
            provenance={**result.provenance, name: {name: [name]}},
        )  # fmt: skip

    return make


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def rows(evil, name):
    """A result of the name, and another that differs in its row's name and machine."""
    second = evil(name, machine="another")
    return [evil(name), replace(second, subject=replace(second.subject, name="plain"))]


@pytest.fixture
def every_name(evil):
    """A row of each name, forced into one table."""
    results = [evil(name) for name in NAMES]
    return results, compare(results, force=True)


@pytest.fixture
def documents(rows, name):
    """Every Markdown document, by its writer."""
    table = compare(rows)
    row = PaperRow(
        name, {name: 1.0, "FID": None}, from_memory=True, measured_as={name: "x"},
        tolerance={name: 0.1},
    )  # fmt: skip
    value = rows[0].values["fid_small_1000"]
    outcomes = [
        Outcome(row, name, value, REPRODUCED, name, (name,)),
        Outcome(row, "FID", None, NOT_RUN, name),
    ]  # fmt: skip
    paper = PaperTable(name, name, name, [row], arxiv=name, title=name)
    reading = rosetta.Reading(name, name, name, 10, 1.0)
    points = [Point({name: name}, result) for result in rows]
    forced = compare([rows[0], replace(rows[1], budget=replace(rows[1].budget, seed=7))], True)
    return {
        "compare": to_markdown(table, name, f"zoo compare run_dir={name}"),
        "forced": to_markdown(forced, name, name),
        "sweep": sweep.to_markdown(points, f"zoo sweep {name}"),
        "reproduce": papers.to_markdown(paper, outcomes, f"zoo reproduce {name}"),
        "rosetta": rosetta.to_markdown([reading], {name: name}),
        "csv reproduce": papers.to_csv(outcomes),
        "csv sweep": sweep.to_csv(points),
        "csv compare": to_csv(table),
        "csv forced": to_csv(forced),
        "csv trainings": trainings.to_csv({name: rows}),
        "terminal": "\n".join(map(papers.sentence, outcomes)),
    }


def test_every_text_stays_text_everywhere(documents, rows, name):
    for writer, text in documents.items():
        text.encode("utf-8")
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b\x00]", text), writer
        if writer.startswith("csv"):
            check_csv(text, writer)
        elif writer == "terminal":
            assert len(text.splitlines()) == 2
        else:
            check_markdown(text, writer)


def check_csv(text, writer):
    heads, *lines = csv.reader(io.StringIO(text, newline=""))
    assert lines and {len(line) for line in lines} == {len(heads)}, writer
    for cell in (cell for line in (heads, *lines) for cell in line):
        number = re.fullmatch(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", cell)
        assert number or not cell.startswith(tuple("=+-@\t\r\n")), (writer, cell)


def check_markdown(text, writer):
    parsed = MARKDOWN.parse(text)
    inline = [child for token in parsed for child in token.children or ()]
    links = [child.attrs["href"] for child in inline if child.type == "link_open"]
    assert all(link.startswith("https://arxiv.org/abs/") for link in links), (writer, links)
    allowed = OURS | ({"link_open", "link_close"} if writer == "reproduce" else set())
    assert {child.type for child in inline} <= allowed, writer
    kinds = {token.type.removesuffix("_open").removesuffix("_close") for token in parsed}
    assert kinds <= {
        "heading", "inline", "paragraph", "table", "thead", "tbody", "tr", "th", "td",
        "bullet_list", "list_item",
    }, writer  # fmt: skip
    depths = {token.level for token in parsed if token.type == "bullet_list_open"}
    assert depths <= {0}, writer


class Page(HTMLParser):
    """Tags and attributes of a page, and the text outside of its style and script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.raw = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {key for key, _ in attrs}

    def handle_data(self, data):
        self.raw.append(data)


def test_the_page_has_the_tags_of_a_plain_one(every_name, evil):
    sheet = png(torch.zeros(1, 4, 4, dtype=torch.uint8))
    results, table = every_name
    words = [f"word_{i}" for i in range(len(NAMES))]
    plain_results = [evil(word) for word in words]
    text = page(table, results, dict.fromkeys(NAMES, sheet), NAMES[3], NAMES[5])
    text.encode("utf-8")
    evil_page = Page(text)
    plain = Page(
        page(
            compare(plain_results, force=True), plain_results, dict.fromkeys(words, sheet), "t", "c"
        )
    )
    assert set(evil_page.tags) == set(plain.tags) and evil_page.attributes == plain.attributes
    assert evil_page.tags.count("script") == 1
    assert evil_page.tags.count("img") == plain.tags.count("img") == len(NAMES)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b\x00]", text)
    for name in ("{{ 7 * 7 }} {% x %} << x >>", "<script>alert(1)</script>", "&lt;b&gt;"):
        assert name in evil_page.raw  # shown as it is


def test_charts_are_well_formed(every_name):
    results, _ = every_name
    rows = {result.subject.name: result.values["fid_small_1000"] for result in results}
    values = list(rows.values())
    lines = lines_of(values)
    for svg in (
        forest(NAMES[3], rows, lines, axis_of(values, lines)),
        bars(NAMES[3], rows),
        curves({name: [(1.0, 1.0), (2.0, 2.0)] for name in NAMES}),
    ):
        tags = {part.tag for part in ElementTree.fromstring(svg).iter()}
        assert tags <= {"svg", "g", "path", "use", "defs", "text", "tspan", "rect"}, tags


def test_pictures_are_drawn(every_name):
    results, _ = every_name
    sheet = png(torch.zeros(1, 4, 4, dtype=torch.uint8))
    sheets = dict.fromkeys(NAMES, sheet)
    assert side_by_side(sheets, {name: name for name in NAMES})[:4] == b"\x89PNG"
    points = [
        Point({"$b$": name, "n": str(i)}, result)
        for name, result in zip(NAMES, results, strict=True)
        for i in range(2)
    ]
    assert picture(points)[:4] == b"\x89PNG"


def test_latex_has_the_commands_of_a_plain_table(rows, name):
    text = to_latex(compare(rows), name, f"zoo compare {name}")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[%#]|\\input(?!\w)|\\frac|\\x\b", body)
    braces = [re.findall(rf"(?<!\\)\\{brace}", body.replace(r"\\\\", "")) for brace in "{}"]
    assert len(braces[0]) == len(braces[1])
    for end in re.finditer(r"(\\\\|\\midrule|\\toprule)\s*", body):
        assert body[end.end() : end.end() + 1] not in ("[", "*")
    assert len(text.splitlines()) - len(body.splitlines()) == 2


def test_a_terminal_gets_a_line_for_each_number(rows):
    text = summary(rows[0])
    assert len(text.splitlines()) == 1 + len(rows[0].values) + len(rows[0].absent)
    assert all(letter.isprintable() for line in text.splitlines() for letter in line)


def test_wandb_gets_names_of_files_and_visible_texts(every_name):
    _, table = every_name
    for name in NAMES:
        key = wandb_run.file_name(name)
        assert not set(key) & set('/\\:*?"<>|') and key.isprintable()
    heads, cells = wandb_run.results_table(table)
    logged = wandb_run._table(heads, cells)
    texts = [t for row in (logged.columns, *logged.data) for t in row if isinstance(t, str)]
    assert len(texts) > len(NAMES)
    for text in texts:
        text.encode("utf-8")
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", text)
