"""Text from outside in Markdown, CSV and LaTeX, read back by somebody else's parsers."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from zoo.system.text import (
    csv_name,
    csv_text,
    latex_text,
    markdown_code,
    markdown_items,
    markdown_table,
    markdown_text,
    one_line,
    visible,
)

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
NAMES = [
    "[x](javascript:alert(1))", "![x](http://x.example/i.png)", "[x]: http://x.example",
    "[^1]", "[ ] task", "[a][b]", "]( [x](y) ](", "<script>alert(1)</script>",
    "<https://x.example>",
    "<!-- results:end -->", "<b", "a<b>c", "&lt;b&gt; &copy;", "`code`", "``<script>``", "```", "`",
    "a|b", "a\\|b", "\\", "c:\\dir\\", "*em*", "**strong**", "_em_", "__strong__",
    "snake_case_name",
    "a_", "~~gone~~", "$x^2$", "$$", "# head", "- item", "+ item", "> quote", "1. one", "2) two",
    "---", "===", "    code", "a\n\n# head", "a\r\nb", "\tx", "a  \nb", "=cmd|' /C calc'!A0",
    "@SUM(1+1)", "+1+1", "-1+1", "{x} %d 100 %", "a\u202eb\u2066c", "\x1b[31m", "a\x00b", "\udcff",
    "\u2028x", "e\u0301 漢字", "~", "a^b", "mail@x.example", "https://x.example", "www.x.example",
    "<img src=x onerror=alert(1)>", "\"quoted\" 'too'", "a`b``c```d", "` <i> `", "!", "",
]  # fmt: skip
PLAIN = {"text", "softbreak"}


def tokens(text):
    """The kinds of a document's tokens, and the text it shows."""
    parsed = MARKDOWN.parse(text)
    inline = [child for token in parsed for child in token.children or ()]
    return [t.type for t in parsed], {t.type for t in inline}, "".join(t.content for t in inline)


def shown(name):
    return one_line(name).replace("@x", "@\u2060x")


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_text_as_it_is(name):
    kinds, inline, content = tokens(f"{markdown_text(name)}\n")
    assert kinds == ["paragraph_open", "inline", "paragraph_close"] * bool(shown(name))
    assert inline <= PLAIN and content == shown(name)
    kinds, inline, content = tokens("\n".join(markdown_items([name, name])))
    assert kinds.count("list_item_open") == 2 and inline <= PLAIN
    assert set(kinds) <= {
        "bullet_list_open", "list_item_open", "paragraph_open", "inline", "paragraph_close",
        "list_item_close", "bullet_list_close",
    }  # fmt: skip
    assert content == 2 * shown(name)
    kinds, inline, content = tokens(f"# {markdown_text(name)}")
    assert kinds == ["heading_open", "inline", "heading_close"] and inline <= PLAIN
    assert content == shown(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_of_a_markdown_table_holds_a_text(name):
    kinds, inline, content = tokens(markdown_table([name, "b"], [["a", name], [name, "d"]]))
    assert kinds.count("tr_open") == 3 and kinds.count("td_open") == 4
    assert inline <= PLAIN
    assert content == shown(name) + "ba" + 2 * shown(name) + "d"


@pytest.mark.parametrize("name", NAMES)
def test_a_command_stays_code(name):
    command = f"zoo compare run_dir={name} x"
    for text in (command, name):
        kinds, inline, content = tokens(f"Made by {markdown_code(text)}, here.")
        if one_line(text):
            assert inline == {"text", "code_inline"}
            assert content == f"Made by {one_line(text)}, here."
        assert kinds == ["paragraph_open", "inline", "paragraph_close"]


@pytest.mark.parametrize("text", ["https://x.example", "http://x", "www.x.example", "m@x.example"])
def test_bare_addresses_are_no_links_where_markdown_makes_links_of_them(text):
    escaped = markdown_text(f"see {text} there")
    assert not re.search(r"https?://|www\.|\w@\w", escaped)


@pytest.mark.parametrize("name", NAMES)
def test_a_spreadsheet_sees_no_formula_and_a_program_the_text(name):
    rows = list(csv.reader(io.StringIO(csv_text([name, "b"], [[name, -1.5], [name, None]]))))
    expected = visible(name).replace("\r\n", "\n").replace("\r", "\n")
    for row in rows:
        assert not row[0].lstrip(" ").startswith(tuple("=+-@\t\r\n")), row
        read = csv_name(row[0]).replace("\r\n", "\n").replace("\r", "\n")
        assert read == expected
    assert [row[1] for row in rows] == ["b", "-1.5", ""]


@pytest.mark.parametrize("number", [-1, -0.25, 1e-300, -1e20, 3, True, "-1", "+2.5", "-1e-3", ".5"])
def test_numbers_stay_numbers_in_csv(number):
    _, row = csv.reader(io.StringIO(csv_text(["a"], [[number]])))
    assert row == [str(number)]


@pytest.mark.parametrize("name", NAMES)
def test_latex_sees_no_command_of_a_text(name):
    text = latex_text(name)
    ours = re.sub(r"''|\\text[a-z]+\{\}|\\[&%$#_{}]|\{[\[\]*]\}|-\{\}", "", text)
    assert not set(ours) & set("\\&%$#_{}~^<>|\"`'[]*"), text
    assert "\n" not in text


def test_nothing_is_hidden_but_what_joins():
    assert visible("a\u202eb") == "a\\u202eb"
    assert visible("\u200b\ufeff\u2066") == "\\u200b\\ufeff\\u2066"
    assert visible("x\u200dy \u00a0 漢 e\u0301\n\t") == "x\u200dy \u00a0 漢 e\u0301\n\t"
    for name in NAMES:
        visible(name).encode("utf-8")  # a lone surrogate would fail


def test_html_of_the_escaped_text_has_no_tag_of_its_own():
    class Tags(HTMLParser):
        def __init__(self, text):
            super().__init__()
            self.tags = set()
            self.feed(text)

        def handle_starttag(self, tag, attrs):
            self.tags.add(tag)

    for name in NAMES:
        assert Tags(MARKDOWN.render(markdown_text(name))).tags <= {"p"}
