from __future__ import annotations

import pytest

from eval.compare import named
from zoo.command.overrides import bracketed, command_line
from zoo.entry import compose


@pytest.mark.parametrize(
    ("arguments", "models"),
    [
        (["models=runs/a,runs/b"], ["runs/a", "runs/b"]),
        (["models=runs/*"], ["runs/*"]),
        (["models=[runs/a=1,runs/it's]"], ["runs/a=1", "runs/it's"]),
        (["models=runs/[ab]*"], ["runs/[ab]*"]),
        (["models=~/runs/a"], ["~/runs/a"]),
        (["models={a: runs/1, b: runs/2}"], {"a": "runs/1", "b": "runs/2"}),
        (["models={a:runs/1,b:runs/2}"], {"a": "runs/1", "b": "runs/2"}),
        (["models.a=runs/1", "models.b=runs/x=2"], {"a": "runs/1", "b": "runs/x=2"}),
        (["models.a=runs/1,runs/2"], {"a": ["runs/1", "runs/2"]}),
        (["+models.a=[runs/1,runs/2]"], {"a": ["runs/1", "runs/2"]}),
        (["models.a.model=ddpm", "models.a.sampler.num_steps=5", "models.b=digits/ddpm"],
         {"a": {"model": "ddpm", "sampler.num_steps": 5}, "b": "digits/ddpm"}),
    ],
)  # fmt: skip
def test_models_are_read_as_they_are_written(arguments: list[str], models: object) -> None:
    read = compose("compare", bracketed(named(arguments), ["models"]))
    assert read.models == models


@pytest.mark.parametrize(
    "arguments",
    [
        ["models.a=x", "models.a=y"],
        ["models.a=x", "models.a.model=ddpm"],
        ["models.a.model=ddpm", "models.a=x"],
        ["models.a.model=ddpm", "models.a.model=ddpm"],
        ["models.a=x", "models=[b]"],
        ["models={a:"],
        ["models=a:x", "models=b:y"],
        ["models.a:b=x"],
    ],
)
def test_nothing_that_is_said_twice_is_lost(arguments: list[str]) -> None:
    with pytest.raises(ValueError, match="twice|one or the other|part of a dict|letters"):
        named(arguments)


def test_a_command_can_be_pasted_into_a_shell() -> None:
    import shlex

    overrides = ["models={a: runs/*}", "name=it's", "fid_counts=[8]", "x=$y"]
    assert shlex.split(command_line("compare", overrides))[2:] == overrides
