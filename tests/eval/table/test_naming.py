from __future__ import annotations

from typing import Any

import pytest

from eval.table.naming import config_differences, row_names

LINEAR = {"_target_": "zoo.schedule.linear.Linear", "beta_end": 0.02}
COSINE = {"_target_": "zoo.schedule.cosine.Cosine", "offset": 0.008}
WIDE = {"_target_": "zoo.schedule.linear.Linear", "beta_end": 0.05}


def named(*configs: dict[str, Any]) -> list[str]:
    return row_names(configs, ["ddpm"] * len(configs), list("abcdef")[: len(configs)])


@pytest.mark.parametrize(
    ("configs", "names"),
    [
        ([{}], ["ddpm"]),
        ([{"schedule": LINEAR}, {"schedule": COSINE}], ["schedule=linear", "schedule=cosine"]),
        ([{"schedule": LINEAR}, {"schedule": WIDE}], ["beta_end=0.02", "beta_end=0.05"]),
        ([{"a": {"lr": 1.0}}, {"a": {"lr": 0.1}}], ["lr=1", "lr=0.1"]),
        ([{"x": True, "y": 1}, {"x": False, "y": 2}], ["x=true", "x=false"]),  # one is enough
        ([{"x": 1, "y": 1}, {"x": 1, "y": 2}, {"x": 2, "y": 1}],
         ["x=1, y=1", "x=1, y=2", "x=2, y=1"]),
        ([{"ema": {"_target_": "zoo.EMA"}}, {"ema": None}], None),
        ([{"a": {"lr": 1}, "b": {"lr": 2}}, {"a": {"lr": 3}, "b": {"lr": 2}}], ["lr=1", "lr=3"]),
        ([{"a": {"lr": 1}, "b": {"lr": 1}}, {"a": {"lr": 1}, "b": {"lr": 2}},
          {"a": {"lr": 2}, "b": {"lr": 1}}],
         ["a.lr=1, b.lr=1", "a.lr=1, b.lr=2", "a.lr=2, b.lr=1"]),
        ([{"data": "ab" * 32}, {"data": "cd" * 32}], ["data=abababab", "data=cdcdcdcd"]),
    ],
)  # fmt: skip
def test_a_row_is_named_by_the_least_that_tells_it_from_the_others(
    configs: list[dict[str, Any]], names: list[str] | None
) -> None:
    if names is None:
        assert len(set(named(*configs))) == len(configs)
    else:
        assert named(*configs) == [n if n == "ddpm" else f"ddpm {n}" for n in names]


def test_rows_of_one_config_are_named_by_their_runs() -> None:
    assert named({"x": 1}, {"x": 1}) == ["a", "b"]
    assert named({"x": 1}, {"x": 1}, {"x": 2}) == ["ddpm x=1 (a)", "ddpm x=1 (b)", "ddpm x=2"]


def test_only_rows_of_one_kind_are_told_apart() -> None:
    configs: list[dict[str, Any]] = [{"x": 1}, {"x": 2}, {"x": 3}]
    names = row_names(configs, ["ddpm", "latent_diffusion", "ddpm"], ["a", "b", "c"])
    assert names == ["ddpm x=1", "latent_diffusion", "ddpm x=3"]


def test_what_an_older_config_does_not_say_does_not_differ() -> None:
    assert config_differences([{"x": 1}, {"x": 1, "new": True}]) == {}
    differences = config_differences([{"schedule": LINEAR}, {"schedule": COSINE}])
    assert differences == {"schedule": ["linear", "cosine"]}
