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

ENTRANCES = {  # where composed configs are read
    "zoo/command/arguments.py",
    "zoo/command/chosen_keys.py",
    "zoo/command/compose.py",
    "zoo/command/run.py",
    "zoo/command/sample.py",
    "zoo/conformance/report.py",
    "zoo/convert/convert.py",
    "zoo/training/encodings.py",
    "zoo/training/averages.py",
    "zoo/training/distributed/__main__.py",
    "zoo/training/distributed/engine.py",
    "zoo/training/distributed/group.py",
    "zoo/training/parts.py",
    "zoo/training/provenance.py",
    "zoo/training/train.py",
    "zoo/training/trainer.py",
    *(f.relative_to(ROOT).as_posix() for f in (ROOT / "eval" / "study").glob("*.py")),
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
ALLOWED = {  # they draw, and nothing imports them to be quick
    "eval/report/drawing/charts.py": {"matplotlib"},
    "eval/report/drawing/curves.py": {"matplotlib"},
    "eval/report/drawing/svg.py": {"matplotlib"},
    "eval/report/drawing/sweep_picture.py": {"matplotlib"},
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
WIRING = {
    "callbacks", "checkpoint", "command", "data", "encodings", "entry", "models", "module",
    "sample", "samples", "train", "training",
}  # fmt: skip
FLOORS = [  # of eval's rooms: each may import those above it in this list
    {"result"},
    {"extractor", "moments"},
    {"source"},
    {"metric"},
    {"measure", "table"},
    {"papers", "report"},
    {"study"},
    {"cache", "callback", "compare", "doctor", "evaluate", "listing", "reproduce", "rosetta",
     "statistics", "sweep"},
]  # fmt: skip


def name(file: Path) -> str:
    """A file's path from the root, its test's id."""
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
    for file in (
        "zoo/__main__.py",
        "zoo/cli.py",
        "zoo/command/run.py",
        "zoo/command/help.py",
        "zoo/train.py",
        "zoo/sample.py",
    ):
        assert not packages(at_import(ROOT / file)) & {"hydra", "omegaconf", "torch", "lightning"}


@pytest.mark.parametrize("file", ZOO + EVAL, ids=name)
def test_heavy_packages_load_when_they_are_used(file: Path) -> None:
    assert not packages(at_import(file)) & (LATE - ALLOWED.get(name(file), set()))


@pytest.mark.parametrize("file", [f for f in ZOO if f.parent.name in PARTS], ids=name)
def test_parts_do_not_know_the_wiring(file: Path) -> None:
    above = {f"zoo.{module}" for module in WIRING}
    used = {".".join(dotted.split(".")[:2]) for dotted in everywhere(file)}
    assert not used & above


@pytest.mark.parametrize("file", [f for f in ZOO if f.parent.name == "models"], ids=name)
def test_a_model_is_composed_not_trained_here(file: Path) -> None:
    used = {".".join(dotted.split(".")[:2]) for dotted in everywhere(file)}
    assert not used & {"zoo.command", "zoo.entry", "zoo.training", "zoo.train", "zoo.sample"}
    assert "zoo.callbacks" not in used


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(file): file for file in ZOO + EVAL}


def arrows(file: Path) -> set[str]:
    """The modules of this repository that a file imports anywhere, also for type checkers."""
    reached = set()
    for dotted in everywhere(file):
        while dotted and dotted not in MODULES:
            dotted = dotted.rpartition(".")[0]
        reached.add(dotted)
    return reached - {"", module_name(file), "zoo", "eval"}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A path through a graph that ends where it begins; empty where there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if closed := walk(other, [*path, node]):
                return closed
        done.add(node)
        return []

    return next((closed for node in graph if (closed := walk(node, []))), [])


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle({name: arrows(file) for name, file in MODULES.items()}) == []


def room(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("file", [f for f in EVAL if f.parent != ROOT / "eval"], ids=name)
def test_the_rooms_of_eval_stand_above_what_they_import(file: Path) -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    own = room(module_name(file))
    for module in arrows(file):
        if module.startswith("eval.") and room(module) != own:
            assert floor[room(module)] < floor[own], f"{own} imports {module}"


@pytest.mark.parametrize("folder", sorted({f.parent for f in ZOO + EVAL}), ids=name)
def test_a_room_is_small_and_says_what_it_is_for(folder: Path) -> None:
    assert len([f for f in folder.glob("*.py") if f.name != "__main__.py"]) <= 14
    purpose = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    assert purpose and len(purpose.splitlines()[0]) <= 100


@pytest.mark.parametrize("file", ZOO, ids=name)
def test_the_zoo_reads_no_file_of_its_judge(file: Path) -> None:
    """By a path put together of texts, such as ``root / "eval"``."""
    if name(file) != "zoo/cli.py":
        tree = ast.parse(file.read_text())
        texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
        assert "eval" not in texts and not any("eval/" in t for t in texts if isinstance(t, str))


def test_a_circle_is_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_the_rules_see_what_they_should(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import wandb\n"
        "try:\n    import sklearn.svm\nexcept ImportError:\n    pass\n"
        "def f():\n    from eval.result.record import Result\n"
        "class C:\n    import datasets\n"
    )
    assert packages(at_import(file)) == {"typing", "sklearn", "datasets"}
    assert packages(everywhere(file)) == {"typing", "wandb", "sklearn", "eval", "datasets"}
