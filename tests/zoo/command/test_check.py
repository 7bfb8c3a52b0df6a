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
    ("num_images", 0, "from 1 to"),
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
    ("trainer.val_check_interval", 0.5, "a whole number of at least 1, or null"),
    ("data.steps_per_epoch", 0, "at least 1"),
    ("trainer.devices", [], "or auto"),
    ("trainer.precision", "bf8", "bf16-mixed"),
    ("guidance.scale", float("inf"), "a finite number"),
    ("recipe.optimizer.lr", float("nan"), "above 0"),
    ("recipe.optimizer.betas", [0.9], "a list of 2"),
    ("batch_size", 10**30, "too large a number"),
    ("fid_counts", [2, 10**30], "too large a number"),
    ("columns", -(10**30), "too large a number"),
    ("devices", 10**9, "cores: at most"),
    ("trainer.devices", 10**9, "cores: at most"),
    ("keep", "kept.zip", "images are kept in an .npz or a folder"),
    ("keep", "kept.png", "images are kept in an .npz or a folder"),
    ("keep", "/proc/version/a.npz", "cannot be made, for /proc/version is a file"),
    ("keep", "/proc/version", "cannot be made, for /proc/version is a file"),
    ("precision", 10, "expected auto or 32-true or 32 or bf16-mixed"),
    ("num_images", 10**9, "from 1 to 100000000"),
    ("data.image_size", 10**6, "from 1 to 16384"),
    ("sampler", "ddim", "expected keys with values"),
    ("metric.fid", 3, "expected"),
    ("extractor.small", "text", "expected keys with a _target_"),
    ("callbacks.progress", ["a"], "expected"),
    ("model", 3, "expected keys with values"),
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
    for name in ("new.npz", "run-1.5", "a/b/c.npz", "folder"):
        check_values({"keep": str(tmp_path / name)}, here=True)
    (tmp_path / "kept.npz").touch()  # is replaced
    check_values({"keep": str(tmp_path / "kept.npz")}, here=True)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match="cannot be written, for it is a folder"):
        check_values({"keep": str(tmp_path / "folder.npz")}, here=True)
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
    ({"_args_": {"a": 1}}, "sampler._args_={a:1}: expected a list"),
    ({"_partial_": "no"}, "sampler._partial_=no: expected true or false"),
    ({"_convert_": "some"}, "sampler._convert_=some: expected none or partial"),
    ({"_target_": 1}, "sampler._target_=1: expected text"),
    ({"num_steps": 10**30}, "sampler.num_steps=1000000.*: too large"),
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


UNET = "zoo.denoiser.UNet"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("channels", 0, "at least 1"),
        ("channels", -1, "at least 1"),
        ("channel_mult", [0], "a list of numbers above 0"),
        ("channel_mult", [1, -2], "a list of numbers above 0"),
        ("attention_at", [-1], "a list of whole numbers above 0"),
        ("num_res_blocks", 0, "at least 1"),
        ("num_heads", 0, "at least 1"),
        ("dropout", 1.5, "a number from 0 to 1"),
        ("norm_eps", -1.0, "a number of at least 0"),
        ("dropout", -0.1, "a number from 0 to 1"),
    ],
)
def test_sizes_of_the_zoos_classes_have_bounds(name: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"model.denoiser.{name}=.*{said}"):
        check_values({"model": {"denoiser": {"_target_": UNET, name: value}}})
    check_values({"model": {"denoiser": {"_target_": "own.UNet", name: value}}})


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
