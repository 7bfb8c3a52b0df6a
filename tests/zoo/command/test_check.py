"""Values of the command line: every key has a type, and a wrong value gets one line at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zoo import entry, paths
from zoo.command.check import check_complete, check_value, check_values, words
from zoo.command.compose import dotted
from zoo.command.signature import signature
from zoo.command.types import KEYS, kind_of

VERBS = sorted(file.stem for file in paths.configs().glob("*.yaml"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_key_has_a_type(verb: str) -> None:
    """Of the key, or of the argument that it goes to."""
    nodes = dotted(entry.compose(verb))
    untyped = []
    for key in nodes:
        parent, _, name = key.rpartition(".")
        if name.startswith("_") or key == "axes" or kind_of(key) is not None:
            continue
        if any(other.startswith(f"{key}.") for other in nodes):
            continue
        target = nodes.get(f"{parent}._target_")
        read = signature(str(target)) if target is not None else None
        is_choice = (paths.configs() / key).is_dir() or (target is None and parent in nodes)
        if not is_choice and (read is None or name not in read.arguments):
            untyped.append(key)
    assert untyped == []


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_type_has_words(key: str) -> None:
    assert "another value" not in words(KEYS[key])


WRONG: list[tuple[str, Any, str]] = [
    ("seed", 1.5, "a whole number from 0"),
    ("seed", None, "seed=null"),
    ("seed", -1, "from 0"),
    ("seed", 2**32, "to 4294967295"),
    ("seed", True, "a whole number"),
    ("seed", "one", "seed=one"),
    ("num_images", 0, "at least 1"),
    ("protocol.num_images", 1.5, "protocol.num_images=1.5"),
    ("batch_size", "", "batch_size=''"),
    ("condition", [], "non-empty list"),
    ("condition", [None], "condition=[null]"),
    ("condition", {"a": 1}, "condition={a:1}"),
    ("fid_counts", 3, "a list of whole numbers"),
    ("cache", "yes", "true or false"),
    ("labels", "even", "balanced or random"),
    ("device", "tpu", "no such device"),
    ("device", "-1", "no such device"),
    ("device", "cuda:99", "cuda"),
    ("trainer.accelerator", "warp", "no such device"),
    ("run_dir", "", "expected text"),
    ("run_dir", "a\0b", "null characters"),
    ("images", "/nope", "no such file or folder"),
    ("reference", "tset", "neither train nor test"),
    ("checkpoint", "digits/nope", "those that ship"),
    ("autoencoder", "/nope", "there is no checkpoint /nope"),
    ("guidance.guidance.weak", "/nope", "there is no checkpoint /nope"),
    ("data.folder", "/nope", "looked for /nope"),
    ("data.train_files", "/nope/*.tar", "looked for /nope/*.tar"),
    ("trainer.max_steps", "ten", "at least 1"),
    ("trainer.max_steps", -5, "at least 1"),
    ("trainer.devices", 0, "or auto"),
    ("trainer.devices", [], "or auto"),
    ("trainer.precision", "bf8", "bf16-mixed"),
    ("guidance.scale", float("inf"), "a finite number"),
    ("recipe.optimizer.lr", float("nan"), "above 0"),
    ("recipe.optimizer.betas", [0.9], "a list of 2"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG)
def test_a_wrong_value_is_named_with_what_was_expected(key: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError) as error:
        check_value(key, value, kind_of(key), here=True)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{key}=")
    assert "\n" not in str(error.value)


def test_files_and_devices_need_exist_only_where_they_are_used(tmp_path: Path) -> None:
    absent = {"images": str(tmp_path / "absent"), "device": "cuda:99"}
    check_values(absent)
    with pytest.raises(ValueError, match="no such file"):
        check_values(absent, here=True)
    check_values({"images": str(tmp_path), "run_dir": str(tmp_path / "new" / "er")}, here=True)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be made, for .* is a file"):
        check_values({"run_dir": str(tmp_path / "file" / "run")}, here=True)


HEUN = {"_target_": "zoo.sampler.Heun", "num_steps": 5}
PARTS: list[tuple[dict[str, Any], str]] = [
    ({"num_steps": 2.5}, "sampler.num_steps=2.5: expected a whole number of at least 1"),
    ({"s_churn": "much"}, "sampler.s_churn=much: expected a number"),
    ({"s_max": float("inf")}, "sampler.s_max=inf: expected a finite number, or null"),
    ({"s_chrn": 1.0}, "Heun takes num_steps, grid, s_churn.*did you mean 's_churn'"),
    ({"grid": "karras"}, "sampler.grid=karras: expected keys with a _target_"),
    ({"grid": [1, 2]}, "expected a part"),
    (
        {"grid": {"_target_": "zoo.sampler.grid.respaced", "_partial_": True, "num_steps": "x"}},
        "sampler.grid.num_steps=x",
    ),
]


@pytest.mark.parametrize(("changes", "said"), PARTS)
def test_arguments_of_parts_have_their_constructors_types(
    changes: dict[str, Any], said: str
) -> None:
    check_values({"sampler": HEUN})
    with pytest.raises(ValueError, match=said):
        check_values({"sampler": HEUN | changes})


def test_the_zoos_own_values_pass() -> None:
    check_values({"sampler": {"num_steps": None}, "guidance": {"scale": 2}, "fid_counts": [8, 9]})
    check_values({"sampler": {"_target_": "own.Sampler", "anything": object()}})
    check_values({"guidance": {"_target_": "zoo.guidance.unguided.Unguided", "scale": None}})
    with pytest.raises(ValueError, match="Unguided takes nothing"):
        check_values({"guidance": {"_target_": "zoo.guidance.unguided.Unguided", "scale": 2.0}})


def test_what_is_missing_is_named_before_it_is_needed() -> None:
    with pytest.raises(ValueError, match=r"checkpoint is missing: give checkpoint=\.\.\."):
        check_complete({"checkpoint": "???", "data": None})
    with pytest.raises(ValueError, match=r"data\.folder is missing"):
        check_complete({"data": {"folder": "???"}})
    folder = {"folder": "???"}
    check_complete({"data": folder, "reference": "pictures", "checkpoint": "x"})
    check_complete({"data": folder, "split": "train", "images": "pictures"})
    needs = ("checkpoint", "images")
    check_complete({"checkpoint": "x", "images": None}, needs)
    with pytest.raises(ValueError, match=r"^give checkpoint=\.\.\. or images=\.\.\.$"):
        check_complete({"checkpoint": None, "images": None}, needs)
    with pytest.raises(ValueError, match="not checkpoint and images"):
        check_complete({"checkpoint": "x", "images": "y"}, needs)
