"""What a class takes, read from its source, against what Python says of the imported class."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from zoo import paths
from zoo.command.annotation import NODE
from zoo.command.check import words
from zoo.command.signature import signature


def targets() -> set[str]:
    """Every ``_target_`` of the shipped configs."""
    addresses: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(target := node.get("_target_"), str):
                addresses.add(target)
            node = list(node.values())
        if isinstance(node, list):
            for item in node:
                visit(item)

    for file in paths.configs().rglob("*.yaml"):
        visit(yaml.safe_load(file.read_text()))
    return addresses


@pytest.mark.parametrize("target", sorted(targets()))
def test_the_arguments_are_those_of_the_imported_class(target: str) -> None:
    module, _, name = target.rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    parameters = inspect.signature(thing).parameters
    plain = {
        key: parameter
        for key, parameter in parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    read = signature(target)
    assert read is not None
    assert plain.keys() <= read.arguments.keys()
    if len(plain) == len(parameters):
        assert plain.keys() == read.arguments.keys()
    for key, parameter in plain.items():
        assert read.arguments[key].required == (parameter.default is parameter.empty), key


SOURCE = '''
from __future__ import annotations
import enum
from pathlib import Path
from typing import Any, Callable, List, Literal, Optional, Union
from .base import Base, Alias as Renamed
import own_package.base as base
try:
    import nothing
except ImportError:
    from own_package.base import Fallback

class Colour(enum.Enum):
    RED = "red"

class Thing(Base):
    """A thing.

    Args:
        whole: how many
            there are.
        text: what it is called.
    """

    def __init__(self, whole: int, *, text: "str | None" = None, many: List[float] = (),
                 pair: tuple[int, int] = (1, 2), choice: Literal["a", "b"] = "a",
                 either: Union[int, str] = 1, path: Path = Path(), part: Base = None,
                 named: base.Base = None, call: Callable[[], int] = None, alias: Renamed = 0,
                 colour: Colour = Colour.RED, anything=None, fallback: Fallback = None,
                 **rest: Any) -> None: ...

class Child(Thing): ...

def function(steps: int, scale: Optional[float] = None): ...
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "own_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('imported')\n")
    (folder / "base.py").write_text(
        "Alias = int | None\nclass Base:\n    def __init__(self, deep: bool = False): ...\n"
        "class Fallback: ...\n"
    )
    (folder / "thing.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_types_are_read_without_importing(package: None) -> None:
    read = signature("own_package.thing.Thing")
    assert read is not None and read.closed  # **rest go to Base
    assert read.arguments["whole"].about == "how many there are."
    assert read.arguments["whole"].required
    kinds = {key: argument.kind for key, argument in read.arguments.items()}
    assert kinds.pop("part") == kinds.pop("named") == kinds.pop("call") == NODE
    assert kinds.pop("fallback") == NODE
    assert kinds.pop("colour") is kinds.pop("anything") is Any
    assert {key: words(kind) for key, kind in kinds.items()} == {
        "whole": "a whole number",
        "text": "text, or null",
        "many": "a list of numbers",
        "pair": "a list of 2 whole numbers",
        "choice": "a or b",
        "either": "a whole number, or text",
        "path": "text",
        "alias": "a whole number, or null",
        "deep": "true or false",
    }
    assert signature("own_package.thing.Child") is not None
    child = signature("own_package.thing.Child")
    assert child is not None and child.arguments.keys() == read.arguments.keys()
    function = signature("own_package.thing.function")
    assert function is not None and list(function.arguments) == ["steps", "scale"]


@pytest.mark.parametrize(
    "target", ["nowhere.Thing", "own_package.thing.Absent", "math.sqrt", "plain", "", "own_package"]
)
def test_what_cannot_be_read_is_not_guessed(package: None, target: str) -> None:
    assert signature(target) is None
