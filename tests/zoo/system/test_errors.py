"""What a user reads of an error: one line, printable, whatever raised it and whatever was typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.system.errors import explain, leave, printable, unknown_key


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("word", "word"),
        ("日本 ½", "日本 ½"),
        ("a\rb", "a\\rb"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u2028", "\\u2028"),
        ("\u202ertl", "\\u202ertl"),
        ("nul\0", "nul\\x00"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_was_typed_is_shown_and_not_carried_out(
    typed: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printable(typed) == shown
    with pytest.raises(SystemExit) as end:
        leave("zoo verb", typed)
    assert end.value.code == 2
    assert capsys.readouterr().err == f"zoo verb: {shown}\n"


def test_a_book_is_shown_by_its_ends() -> None:
    line = printable("begin" + "x" * 100_000 + "end")
    assert line.startswith("beginxxx")
    assert line.endswith("xxxend")
    assert len(line) < 3000


def raised(act: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as error:
        act()
    return error.value


def nested_override() -> None:
    from omegaconf import OmegaConf

    value: Any = 1
    for _ in range(2000):
        value = [value]
    OmegaConf.create({"a": value})


def torn_yaml() -> None:
    import yaml

    yaml.safe_load("a:\n\t- b")


def python_in_yaml() -> None:
    import yaml

    yaml.safe_load("!!python/object/apply:os.system ['ls']")


def hydras_assertion() -> None:
    from hydra.core.default_element import GroupDefault

    GroupDefault(group="", value="x")


def too_large() -> None:
    torch.empty(2**61)


def removed_key() -> None:
    from omegaconf import OmegaConf

    config = OmegaConf.create({"a": 1})
    OmegaConf.set_struct(config, True)
    _ = config.device


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (nested_override, "nested too deeply, or holds itself"),
        (torn_yaml, r"cannot be read: ScannerError .*line 2"),
        (python_in_yaml, "cannot be read: ConstructorError .*os.system"),
        (hydras_assertion, "cannot be read: AssertionError"),
        (too_large, "not enough memory"),
        (lambda: bytearray(2**62), "^not enough memory$"),
        (lambda: list(range(10**30)), "^a number is too large: "),
        (lambda: Path("~nobody-here/x").expanduser(), "the name of nobody here"),
        (removed_key, "^device is missing: `~` removed it"),
        (lambda: Path("/proc/nowhere/x").write_text(""), "No such file"),
        (lambda: json.loads("{"), "Expecting property name"),
    ],
)
def test_a_mistake_is_one_line(act: Callable[[], Any], said: str) -> None:
    import re

    line = explain(raised(act), list)
    assert line is not None
    assert "\n" not in line
    assert re.search(said, line), line


@pytest.mark.parametrize(
    "act", [lambda: {}["x"], lambda: 1 / 0, lambda: torch.ones(2) @ torch.ones(3)]
)
def test_our_own_mistakes_keep_their_traceback(act: Callable[[], Any]) -> None:
    assert explain(raised(act), list) is None


def test_an_unknown_key_is_compared_with_those_there_are() -> None:
    keys = ["seed", "sampler", "sampler.eta", "metric.kid", "metric.kid.subsets"]
    assert "did you mean 'seed'" in unknown_key("sed", keys)
    assert unknown_key("seed", keys) == "unknown key 'seed': `~` removed it"
    assert "belongs to kid" in unknown_key("metric.kid.subsets", keys)
