from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from eval.report.latex import to_latex
from eval.table.table import compare
from zoo.system.text import latex_text

EVIL = "50 % of a_b & {c} $x$ #1 ~^ C:\\dir <i>|\"`'--"
PDFLATEX = shutil.which("pdflatex")


@pytest.fixture
def results(make_result):
    rows = [make_result(name, fid) for name, fid in (("ddpm", 4.0), ("other_model", 5.0))]
    return [with_interval(row, 0.30) for row in rows]


def with_interval(result, half, above=0.0, value=None, spread=0.001):
    """The result with an interval, and blocks that waver in another order in every row."""
    found = result.values["fid_small_1000"]
    value = found.value if value is None else value
    turn = 3 if result.subject.name == "ddpm" else 7
    blocks = [value + spread * ((turn * k) % 10 - 4.5) for k in range(10)]
    found = replace(
        found, value=value, interval=[value - half, value + half + above], blocks=blocks
    )
    return replace(result, values={**result.values, "fid_small_1000": found})


def test_rows_and_columns_of_a_booktabs_table(results):
    text = to_latex(compare(results), "Title", "zoo compare")
    assert text.startswith("% Made by zoo compare\n")
    for once in (r"\begin{table}", r"\end{table}", r"\caption{Title."):
        assert text.count(once) == 1
    tables = re.findall(r"\\begin{tabular}{(l.*?)}\n(.*?)\\end{tabular}\n", text, re.DOTALL)
    assert tables
    for columns, body in tables:
        rules = ["toprule", "midrule", "bottomrule"]
        assert re.findall(r"\\(\w+rule)", body) == rules
        rows = [line for line in body.splitlines() if line.endswith(r" \\")]
        assert len(rows) == 3
        assert {row.count(" & ") for row in rows} == {len(columns) - 1}
        assert rows[2].startswith(r"other\_model & ")


def test_best_values_and_intervals(results):
    text = to_latex(compare(results), "t", "c")
    assert r"$\mathbf{2.40}{}_{\pm 0.30}$" in text  # two digits of the interval, no more of FID
    assert r"$3.00{}_{\pm 0.30}$" in text
    uneven = [with_interval(results[0], 0.30, above=0.2), results[1]]
    assert r"$\mathbf{2.40}{}_{[2.10, 2.90]}$" in to_latex(compare(uneven), "t", "c")
    level = [results[0], with_interval(results[1], 0.30, value=2.41, spread=0.1)]
    text = to_latex(compare(level), "t", "c")
    assert "mathbf" not in text and "underline" not in text  # nothing is distinguishable
    third = replace(results[1], subject=replace(results[1].subject, name="third"))
    text = to_latex(compare([*level, with_interval(third, 0.30, value=5.0)]), "t", "c")
    assert r"$\mathbf{2.40}{}_{\pm 0.30}$" in text and r"$5.00{}_{\pm 0.30}$" in text
    assert r"$\underline{2.41}{}_{\pm 0.30}$" in text
    assert "Underlined: not distinguishable from the best" in text


def test_forced_rows_say_so_and_none_is_the_best(results):
    other = replace(results[1], budget=replace(results[1].budget, seed=7))
    text = to_latex(compare([results[0], other], force=True), "t", "c")
    assert "Forced: the rows differ in budget.seed" in text
    assert "mathbf" not in text and "Bold:" not in text


def test_every_text_is_escaped(results):
    subject = replace(results[0].subject, name=EVIL)
    text = to_latex(compare([replace(results[0], subject=subject), results[1]]), EVIL, f"a\n{EVIL}")
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    body = "\n".join(lines)
    assert latex_text(EVIL) in body
    assert EVIL not in body
    assert not re.search(r"(?<!\\)[%#]", body)
    assert body.count("{") == body.count("}")
    assert len(text.splitlines()) - len(lines) == 2  # the command stays within its comment


@pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex to compile the table with")
def test_it_compiles_with_booktabs_alone(results, tmp_path):
    if not _knows("booktabs.sty"):
        pytest.skip("this TeX has no booktabs")
    subject = replace(results[0].subject, name=EVIL)
    table = to_latex(compare([replace(results[0], subject=subject), results[1]]), EVIL, EVIL)
    (tmp_path / "results.tex").write_text(table)
    (tmp_path / "document.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
        "\\input{results}\n\\end{document}\n"
    )
    done = subprocess.run(
        [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "document"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout


def _knows(file):
    found = subprocess.run(["kpsewhich", file], capture_output=True, text=True)
    return found.returncode == 0
