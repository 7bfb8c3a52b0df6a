"""The notebook of docs/ runs from first cell to last, and holds no outputs to grow stale."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "plug_in_a_sampler.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_it_is_stored_without_outputs() -> None:
    for cell in CELLS:
        assert cell["cell_type"] == "markdown" or not (cell["outputs"] or cell["execution_count"])


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", "".join("".join(cell["source"]) for cell in CELLS))
    assert links
    assert all((NOTEBOOK.parent / link).is_file() for link in links)


def test_every_cell_runs_and_the_table_has_both_samplers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    space: dict[str, object] = {"__name__": "__main__"}
    for number, code in enumerate(CODE):
        exec(compile(code, f"cell {number}", "exec"), space)  # the repository's own file
    printed = capsys.readouterr().out
    for name in ("ddim, 9 steps", "midpoint, 5 steps"):
        row = rf"^\| {name} \| \*{{0,2}}\d[\d.]* ± [\d.]+\*{{0,2}} \|.* 9 \|$"
        assert re.search(row, printed, re.MULTILINE)
        assert f"{name} (8, 1, 16, 16) torch.uint8" in printed
    assert "Nothing is bold" in printed or "Bold: the best number" in printed
    assert printed.count("fid_small_80 ") == 1  # its verdict
