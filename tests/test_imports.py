"""Imports point down, hydra stays at the entrances, heavy packages load late."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ZOO = sorted((ROOT / "zoo").rglob("*.py"))
EVAL = sorted((ROOT / "eval").rglob("*.py"))

ENTRANCES = {
    "zoo/conversion.py",
    "zoo/entry.py",
    "zoo/run.py",
    "zoo/train.py",
    "zoo/sample.py",
    "zoo/check.py",
    "eval/verbs.py",
    "eval/loading.py",
    "eval/protocol.py",
    "eval/sweep_cells.py",
    "eval/experiment.py",
    "eval/reproduction.py",
    "eval/trainings.py",
}
LATE = {
    "datasets",
    "diffusers",
    "matplotlib",
    "open_clip",
    "pyarrow",
    "scipy",
    "sklearn",
    "tensorboard",
    "torch_fidelity",
    "transformers",
    "wandb",
}
PARTS = {  # what a model is made of; none of it may know the wiring above
    "classifier",
    "conditioner",
    "denoiser",
    "diffusion",
    "first_stage",
    "guidance",
    "sampler",
    "schedule",
}
WIRING = {"callbacks", "checkpoint", "data", "entry", "models", "module", "run", "sample", "train"}


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def imports(node: ast.AST) -> Iterator[str]:
    """The dotted names that a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports are not used here"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def everywhere(file: Path) -> set[str]:
    return {n for node in ast.walk(ast.parse(file.read_text())) for n in imports(node)}


def at_import(file: Path) -> set[str]:
    """What is imported when the file itself is: not inside functions, not for type checkers."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        found.update(imports(node))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(file.read_text()))
    return found


def packages(names: set[str]) -> set[str]:
    return {dotted.partition(".")[0] for dotted in names}


@pytest.mark.parametrize("file", ZOO, ids=name)
def test_the_zoo_never_imports_its_judge(file: Path) -> None:
    assert "eval" not in packages(everywhere(file))
    if name(file) != "zoo/cli.py":  # the one place that names eval's modules, as strings
        tree = ast.parse(file.read_text())
        texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        assert not [t for t in texts if isinstance(t, str) and re.fullmatch(r"eval\.[\w.:]+", t)]


@pytest.mark.parametrize("file", ZOO + EVAL, ids=name)
def test_hydra_stays_at_the_entrances(file: Path) -> None:
    if name(file) not in ENTRANCES:
        assert not packages(everywhere(file)) & {"hydra", "omegaconf"}


def test_what_help_needs_does_not_load_hydra() -> None:
    for file in ("zoo/cli.py", "zoo/entry.py", "zoo/usage.py", "zoo/train.py", "zoo/sample.py"):
        assert not packages(at_import(ROOT / file)) & {"hydra", "omegaconf", "torch", "lightning"}


@pytest.mark.parametrize("file", ZOO + EVAL, ids=name)
def test_heavy_packages_load_when_they_are_used(file: Path) -> None:
    assert not packages(at_import(file)) & LATE


@pytest.mark.parametrize("file", [f for f in ZOO if f.parent.name in PARTS], ids=name)
def test_parts_do_not_know_the_wiring(file: Path) -> None:
    above = {f"zoo.{module}" for module in WIRING}
    used = {".".join(dotted.split(".")[:2]) for dotted in everywhere(file)}
    assert not used & above


@pytest.mark.parametrize("file", [f for f in ZOO if f.parent.name == "models"], ids=name)
def test_a_model_is_composed_not_trained_here(file: Path) -> None:
    used = {".".join(dotted.split(".")[:2]) for dotted in everywhere(file)}
    assert not used & {"zoo.entry", "zoo.run", "zoo.train", "zoo.sample", "zoo.callbacks"}


def test_the_rules_see_what_they_should(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import wandb\n"
        "try:\n    import sklearn.svm\nexcept ImportError:\n    pass\n"
        "def f():\n    from eval.result import Result\n"
        "class C:\n    import datasets\n"
    )
    assert packages(at_import(file)) == {"typing", "sklearn", "datasets"}
    assert packages(everywhere(file)) == {"typing", "wandb", "sklearn", "eval", "datasets"}
