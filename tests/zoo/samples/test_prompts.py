"""Conditions out of a text file."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zoo.samples.lines import Line, read_lines
from zoo.samples.prompts import as_conditions

READS_CAPTIONS: Any = SimpleNamespace(conditioner=SimpleNamespace(reads_captions=True))
KNOWS_LABELS: Any = SimpleNamespace(conditioner=SimpleNamespace(num_classes=10))
KNOWS_NOTHING: Any = SimpleNamespace(conditioner=SimpleNamespace(num_classes=None))


@pytest.mark.parametrize(
    "data",
    [
        "one\n\n  two, and \u2028 more \nthrée".encode(),
        "\ufeffone\r\n\r\ntwo, and \u2028 more\r\nthrée\r\n".encode(),
        "one\r\rtwo, and \u2028 more\rthrée\r\r\r".encode(),
    ],
)
def test_lines_of_every_system_with_their_rows(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "p.txt").write_bytes(data)
    lines = read_lines(str(tmp_path / "p.txt"))
    assert lines == [Line(1, "one"), Line(3, "two, and \u2028 more"), Line(4, "thrée")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "p.txt: there is no such file"),
        (b"", "no line with text in it"),
        (b"\n \n\t\r\n", "no line with text in it"),
        (b"one\ntwo\r\nthr\xe9e\n", r"p.txt, row 3: not UTF-8 .*save the file as UTF-8"),
        ("one\ntwo".encode("utf-16"), r"p.txt, row 1: not UTF-8"),
        (b"one\n\ntw\0o", r"p.txt, row 3: a NUL character"),
    ],
)
def test_a_file_that_holds_no_prompts_is_refused(
    tmp_path: Path, data: bytes | None, message: str
) -> None:
    if data is not None:
        (tmp_path / "p.txt").write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_lines(str(tmp_path / "p.txt"))
    assert "\n" not in str(error.value)


def test_a_line_is_what_the_model_reads() -> None:
    lines = [Line(1, "3"), Line(4, "7")]
    assert as_conditions(lines, READS_CAPTIONS, None, "f", "prompts") == ["3", "7"]
    assert as_conditions(lines, KNOWS_LABELS, None, "f", "prompts") == [3, 7]
    guidance: Any = SimpleNamespace(num_classes=8)
    assert as_conditions(lines, KNOWS_NOTHING, guidance, "f", "prompts") == [3, 7]
    with pytest.raises(ValueError, match="prompts=f: this model reads neither captions nor labels"):
        as_conditions(lines, KNOWS_NOTHING, None, "f", "prompts")


@pytest.mark.parametrize("text", ["10", "-1", "1.0", "a cat", "²"])
def test_a_line_that_is_no_label_is_named_with_its_row(text: str) -> None:
    lines = [Line(1, "3"), Line(4, text)]
    expected = f"prompts=f, row 4: '{re.escape(text)}' is no label: .* labels 0 to 9"
    with pytest.raises(ValueError, match=expected):
        as_conditions(lines, KNOWS_LABELS, None, "f", "prompts")
