"""Random and hostile command lines: each runs as it says or is refused in one line."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from zoo import paths

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def proof() -> Any:
    """The module that runs a thousand of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("command_lines")


@pytest.mark.slow
def test_sixty_command_lines(proof: Any, tmp_path: Path) -> None:
    commands = [line for line in proof.lines(8, 200) if line.verb != "compare"][:60]
    assert len({line.verb for line in commands}) > 8
    results = list(proof.outcomes(commands, tmp_path))
    assert len(results) == 60
    wrong = [proof.report(r) for r in results if r.kind not in ("ran", "refused in one line")]
    assert wrong == []
    assert sum(r.kind == "ran" for r in results) >= 12


def test_a_line_depends_on_its_number_alone(proof: Any) -> None:
    assert [str(line) for line in proof.lines(3, 20)][:5] == [str(x) for x in proof.lines(3, 5)]


@pytest.mark.parametrize(
    ("arguments", "config", "files", "said"),
    [
        (["seed=3"], {"seed": 3}, ["out.npz"], ""),
        (["seed=3"], {"seed": 4}, ["out.npz"], "it became 4"),
        (["seed=3", "seed=4"], {"seed": 4}, ["out.npz"], ""),
        (["+extra=3"], {"seed": 0}, ["out.npz"], "nowhere"),
        (["~seed"], {"seed": 0}, ["out.npz"], "still there"),
        (["condition=a, b"], {"condition": "a, b"}, ["out.npz"], ""),
        (["condition=[3,7]"], {"condition": [3, 7]}, ["out.npz"], ""),
        (["condition=[3,7]"], {"condition": [3]}, ["out.npz"], "it became [3]"),
        (["sampler=heun"], {"sampler": {"_target_": "zoo.sampler.DDIM"}}, ["out.npz"], "it became"),
        (["seed=3"], {"seed": 3}, [], "wrote no"),
        (["seed=3"], {"seed": 3}, ["pwned", "out.npz"], "ran a program"),
    ],
)
def test_a_success_of_another_meaning_is_noticed(
    proof: Any, arguments: list[str], config: Any, files: list[str], said: str, tmp_path: Path
) -> None:
    import numpy as np

    for file in files:
        np.savez(tmp_path / "out.npz", arr_0=np.zeros((2, 4, 4, 1), np.uint8))
        assert file
    meaning = importlib.import_module("_command_meaning")
    values = {"out": "out.npz", "num_images": 2, **config}
    line = proof.Line("sample", arguments)
    wrong = meaning.reason(line, [values], "", files, tmp_path)
    assert said in wrong if said else wrong == ""


def test_the_lines_name_keys_that_exist(proof: Any) -> None:
    for verb in proof.BASES:
        every, groups = proof.keys(verb)
        assert len(every) > 2 or verb == "check"
        assert len([group for group in groups if (paths.configs() / group).is_dir()]) >= 2
