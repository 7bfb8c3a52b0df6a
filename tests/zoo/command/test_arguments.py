"""What users type: prose, paths, bare lists and forgotten keys."""

from __future__ import annotations

from typing import Any

import pytest

from zoo.command.arguments import prepared
from zoo.system.errors import explain

DEFAULTS = {"metric": ["fid"], "sampler": None, "data": "digits", "callbacks": "default"}


def value_of(override: str, multirun: bool = False) -> Any:
    """The value that hydra reads from an override as it was typed."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (text,) = prepared("sample", [override], DEFAULTS, multirun)
    return OverridesParser.create().parse_override(text).value()


@pytest.mark.parametrize(
    "prompt",
    ["a cat, asleep", "it's a cat", "a cat (sitting)", "50% off: a=b", "日本の猫", "what?! {a",
     "a]",
     "naïve — café", "C:\\pictures\\cat", 'the "best" cat', "#1; <b>|&~", "trailing \\",
     "1_000 cats", "true", "3.5", "two, three, four cats", "choice(a, b) of cats"],
)  # fmt: skip
def test_prose_is_text(prompt: str) -> None:
    assert str(value_of(f"condition={prompt}")) == prompt


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("run_dir=a=b", "a=b"),
        ("run_dir=123", "123"),
        ("run_dir=", ""),
        ("name=1e5", "1e5"),
        ("name=null", None),
        ("condition=7", 7),
        ("condition=[3,7]", [3, 7]),
        ("condition='7'", "7"),
        ("seed=1=2", "1=2"),
        ("trust=own", ["own"]),
        ("fid_counts=360,1000", [360, 1000]),
        ("train_seeds=0,1", [0, 1]),
        ("metric=fid", ["fid"]),
        ("metric=fid,kid", ["fid", "kid"]),
        ("metric=[nan,null]", ["nan", "null"]),
        ("metric=null", []),
        ("data=cifar10", "cifar10"),
        (" seed=3", 3),
        ("seed =3", 3),
        ("hydra.job.name=x", "x"),
        ("recipe/time_sampler=uniform", "uniform"),
        ("sampler@guidance.other=ddim", "ddim"),
    ],
)
def test_a_value_is_read_as_it_is_meant(override: str, value: Any) -> None:
    read = value_of(override)
    assert (read if isinstance(read, int | list | None) else str(read)) == value


def test_a_home_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert str(value_of("images=~/pictures")) == "/home/me/pictures"


def test_choices_that_change_nothing_or_leave_a_group_out() -> None:
    assert prepared("sample", ["sampler=null"], DEFAULTS) == []
    assert prepared("train", ["callbacks=null", "logger=null"], DEFAULTS) == [
        "~callbacks",
        "~logger",
    ]
    assert prepared("train", ["~callbacks.progress", "+data.flip=true"], DEFAULTS) == [
        "~callbacks.progress",
        "+data.flip=true",
    ]


@pytest.mark.parametrize("override", ["seed=1,2", "data=digits,cifar10", "condition=3,7"])
def test_a_comma_list_makes_several_runs_only_where_they_are_meant(override: str) -> None:
    assert prepared("train", [override], DEFAULTS, multirun=True) == [override]
    with pytest.raises(ValueError, match="-m"):
        prepared("train", [override], DEFAULTS)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("digits/ddpm", r"'digits/ddpm' is no key=value; did you mean checkpoint=digits/ddpm\?"),
        ("data=null", "choose one of .*digits"),
        ("sampler=_private", "no sampler called '_private'; there are .*ddim"),
        ("sampler=\u2028", "choose one of .*ddim"),
        ("sampler=,", "choose one of .*ddim"),
        ("=", "'' is no key"),
        ("+=1", "'\\+' is no key"),
        ("~=1", "'~' is no key"),
        ("é=1", "'é' is no key"),
        (".seed=1", "'.seed' is no key"),
        ("a..b=1", "'a..b' is no key"),
        ("seed.=1", "'seed.' is no key"),
        ("seed[0]=1", r"'seed\[0\]' is no key"),
        ("a:b=1", "'a:b' is no key"),
        ("/sampler=ddim", "'/sampler' is no key"),
        ("a b=1", "'a b' is no key"),
        ("--seed=3", "'--seed' is no key"),
        ("hydra=null", "'hydra' is no key"),
    ],
)
def test_a_mistake_is_one_line(override: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        prepared("sample", [override], DEFAULTS)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("condition=[3,7", "a bracket is not closed"),
        ("condition='a cat", "a quotation mark is not closed"),
        ("condition={a: 1}}", "a bracket is not closed"),
        ("trust=a,", "a list has an empty place"),
        ("condition=[3,,7]", "a list has an empty place"),
    ],
)
def test_what_hydra_cannot_read_is_said_in_words(override: str, said: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    with pytest.raises(OverrideParseException) as error:
        OverridesParser.create().parse_overrides(prepared("sample", [override], DEFAULTS))
    line = explain(error.value, list)
    assert line is not None
    assert line.startswith("cannot read '")
    assert line.endswith(f"': {said}")


@pytest.mark.parametrize(
    ("overrides", "refused"),
    [
        (["data.train_files=a/0.tar", "data.train_files=a/1.tar"], True),
        (["data.train_file=a0.parquet", "data.train_file=a1.parquet"], True),
        (["data.train_files=a/0.tar", "seed=0", "data.train_files=a/1.tar"], False),
        (["trainer.max_steps=3", "trainer.max_steps=5"], False),  # a script's own, then another
        (["run_dir=a/b", "run_dir=a/c"], False),
    ],
)
def test_braces_that_a_shell_took_apart_are_noticed(overrides: list[str], refused: bool) -> None:
    if not refused:
        assert len(prepared("train", overrides, DEFAULTS)) == len(overrides)
        return
    with pytest.raises(ValueError, match="is given twice, as a shell does it that takes braces"):
        prepared("train", overrides, DEFAULTS)
