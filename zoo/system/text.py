r"""Text from outside in the formats that the zoo writes: one way of escaping for each.

Names, commands, settings and captions are a user's. They may hold whatever a format gives a
meaning: a tag, a link, a formula, a command of LaTeX. HTML is escaped by jinja2, after ``visible``.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, directions, lone surrogates, line separators
_KEPT = "\t\n\r\u200c\u200d"  # white space, and what joins letters and emoji
_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?")

_LINK = re.compile(r"\]([(\[:]|$)|\[\^|^\[")  # with a target, a definition, a note, a task
_MARKDOWN = [
    (re.compile(r"(?<![^\W_])_|_(?![^\W_])"), r"\\_"),  # within a word it is a letter
    (re.compile(r"&(?=#|\w)"), "&amp;"),
    (re.compile(r"<(?![\s\d=])"), "&lt;"),
    (re.compile(r":(?=//)|(?<=\bmailto):|(?<=\bxmpp):"), r"\\:"),  # GitHub links bare addresses
    (re.compile(r"(?<=www)\.", re.IGNORECASE), r"\\."),
    (re.compile(r"(?<=[\w.+-])@(?=[\w-])"), "@\u2060"),  # and no escape stops it in front of a mail
    (re.compile(r"(?<!\S)#"), r"\\#"),
    (re.compile(r"^(?=[-+](\s|$|-)|>)"), r"\\"),  # a list, a rule, a quotation
    (re.compile(r"^(\d{1,9})(?=[.)](\s|$))"), r"\1\\"),
]  # fmt: skip

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # behind the end of a row they would be its arguments
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "∞": r"$\infty$", "×": r"$\times$", "–": "--",
    "±": r"$\pm$", "·": r"$\cdot$", "…": r"\ldots{}",
}  # fmt: skip


def visible(text: str) -> str:
    r"""Text in which nothing is hidden: controls and marks of direction are spelled out.

    White space, and the joiners that some scripts and emoji need, stay.

    >>> print(visible("a\u202eb\x1b[31m"))
    a\u202eb\x1b[31m
    """
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _HIDDEN and letter not in _KEPT
        else letter
        for letter in text
    )


def one_line(text: str) -> str:
    r"""Visible text with a space in the place of every white space, for terminals and pictures.

    >>> one_line(" a\n b ")
    'a b'
    """
    return " ".join(visible(text).split())


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[Any]], end: str = "\n") -> str:
    r"""CSV with a line of heads; None is an empty field.

    A text that a spreadsheet would take for a formula gets an apostrophe in front, as spreadsheets
    themselves write it; ``csv_name`` removes it. Numbers stay as they are.

    Args:
        heads: names of the columns.
        rows: their values, numbers unrounded.
        end: of every line.

    >>> csv_text(["model", "fid"], [["a, b", 2.5], ["=c", -1.0], ["d", None]])
    'model,fid\n"a, b",2.5\n\'=c,-1.0\nd,\n'
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)  # its own line ends, so that it quotes both of them within cells
    lines = []
    for row in (heads, *rows):
        writer.writerow([_csv_cell(value) for value in row])
        lines.append(buffer.getvalue().removesuffix("\r\n") + end)
        buffer.seek(0)
        buffer.truncate()
    return "".join(lines)


def csv_name(cell: str) -> str:
    """The text that ``csv_text`` wrote into a cell.

    >>> csv_name("'=c"), csv_name("'c")
    ('=c', "'c")
    """
    return cell[1:] if cell.startswith("'") and _csv_cell(cell[1:]) == cell else cell


def _csv_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = visible(value)
    formula = text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(tuple("=+-@＝＋－＠"))
    return f"'{text}" if formula and not _NUMBER.fullmatch(text) else text


class Markdown(str):
    """Text that is Markdown already: ``markdown_text`` leaves it as it is."""

    __slots__ = ()


def markdown_text(text: str) -> Markdown:
    r"""Text in a paragraph, a cell, a heading or an item of Markdown, which shows it as it is.

    It cannot become a link, an image, a tag, code, emphasis, mathematics or a block of its own.

    >>> print(markdown_text("a_b|c [x](y) <i> c:\\d"), markdown_text(Markdown("**c**")))
    a_b\|c \[x\](y) &lt;i> c:\\d **c**
    """
    if isinstance(text, Markdown):
        return text
    escaped = one_line(text)
    special = r"[\\`*|~$\[\]]" if _LINK.search(escaped) else r"[\\`*|~$]"
    escaped = re.sub(special, r"\\\g<0>", escaped)
    for pattern, replacement in _MARKDOWN:
        escaped = pattern.sub(replacement, escaped)
    return Markdown(escaped)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Markdown:
    r"""A Markdown table without a line break at its end; every cell is escaped.

    >>> print(markdown_table(["model", "FID"], [["a|b", Markdown("**2.50**")]]))
    | model | FID |
    | --- | --- |
    | a\|b | **2.50** |
    """
    lines = (heads, [Markdown("---")] * len(heads), *rows)
    return Markdown("\n".join(f"| {' | '.join(map(markdown_text, line))} |" for line in lines))


def markdown_items(texts: Iterable[str]) -> list[str]:
    """The lines of a Markdown list, every text escaped."""
    return [Markdown(f"- {markdown_text(text)}") for text in texts]


def markdown_code(code: str) -> Markdown:
    r"""A command as code within a line, in more backticks than it has in a row.

    >>> print(markdown_code("zoo list"), markdown_code("a `b` ``<c>"))
    `zoo list` ```a `b` ``<c>```
    """
    text = one_line(code)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if text.startswith("`") or text.endswith("`") else ""
    return Markdown(f"{fence}{space}{text}{space}{fence}")


def latex_text(text: str) -> str:
    r"""Text that LaTeX sets as it is.

    >>> print(latex_text("50 % of a_b & C:\\x"))
    50 \% of a\_b \& C:\textbackslash{}x
    """
    words = one_line(text).replace("--", "-\0-")
    letters = "".join(_LATEX.get(letter, letter) for letter in words)
    return letters.replace("\0", "{}")  # or two hyphens would become a dash
