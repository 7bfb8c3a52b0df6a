"""The proofs' scripts import what exists, and read files that are where they say."""

from __future__ import annotations

import ast
import csv
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    file for file in (ROOT / "benchmarks").glob("*.py") if not file.name.startswith("golden_")
)


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_what_a_proof_imports_exists(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module.partition(".")[0] in ("zoo", "eval"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    address = f"{node.module}.{alias.name}"
                    assert hasattr(module, alias.name) or find_spec(address), f"no {address}"


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_files_of_tests_that_a_proof_reads_exist(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
            parts = [part for part in parts if isinstance(part, str)]
            if parts and parts[0].startswith("tests") and parts[-1].endswith(".py"):
                assert (ROOT / "/".join(parts)).is_file()
            elif parts and parts[-1].startswith("tests") and parts[0].endswith(".py"):
                assert (ROOT / "/".join(reversed(parts))).is_file()


def test_the_readmes_ratios_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    speed = importlib.import_module("speed")
    with (ROOT / "benchmarks" / "speed.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    timed = [row["what"] for row in rows]
    assert timed == [case.what for case in speed.CASES.values() if case.what in timed]
    assert len(timed) >= 8  # a case may be too slow for a small machine
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert speed.with_results(readme, speed.table_of(rows), "speed") == readme
    with pytest.raises(ValueError, match="one pair of <!-- speed"):
        speed.with_results("no markers", "", "speed")
