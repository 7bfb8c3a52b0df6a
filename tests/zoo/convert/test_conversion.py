"""``zoo convert``, and the manifest of published checkpoints that it reads."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.checkpoint import published
from zoo.convert import from_compvis, network, to_diffusers
from zoo.convert.__main__ import main
from zoo.convert.compvis.read import model_node

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))
_spec = importlib.util.spec_from_file_location("_golden", ROOT / "benchmarks" / "_golden.py")
assert _spec is not None and _spec.loader is not None
golden: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golden)
sys.path.remove(str(ROOT / "benchmarks"))

PUBLISHED = published.published()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_has_the_published_size(name: str) -> None:
    found = PUBLISHED[name]
    with torch.device("meta"):
        net = network(found["family"], found["config"])
    assert sum(p.numel() for p in net.parameters()) == found["parameters"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_checkpoint_says_all_there_is_to_say(name: str) -> None:
    found = PUBLISHED[name]
    wanted = {"about", "family", "source", "sha256", "licence", "parameters", "config", "figures"}
    assert wanted <= found.keys() <= wanted | {"md5"}
    assert found["source"].startswith("https://")
    assert re.fullmatch(r"unknown|[0-9a-f]{64}", found["sha256"])
    assert re.fullmatch(r"[0-9a-f]{32}", found.get("md5", "0" * 32))
    assert all(re.search(r"\(.+\)", text) for text in found["figures"].values()), "no source named"


def test_the_papers_headline_checkpoints_are_there() -> None:
    for name in ("ddpm_cifar10", "improved_cifar10", "adm_imagenet256", "adm_classifier64",
                 "ldm_celeba256", "ldm_cin256_v2", "kl_f8", "vq_f4", "stable_diffusion_v1_4",
                 "google_ddpm_cifar10"):  # fmt: skip
        assert name in PUBLISHED
    with pytest.raises(ValueError, match="did you mean 'ldm_cin256_v2'"):
        published.entry("ldm_cin256_v3")


def test_published_latent_diffusions_hold_a_published_first_stage() -> None:
    held = [
        model_node(PUBLISHED[name]["config"])[1]["first_stage_config"]
        for name in PUBLISHED
        if name.startswith(("ldm_", "stable_"))
    ]
    assert len(held) == 13
    with torch.device("meta"):
        sizes = {sum(p.numel() for p in network("compvis", c).parameters()) for c in held}
    known = {e["parameters"] for name, e in PUBLISHED.items() if name.startswith(("kl_", "vq_"))}
    assert sizes <= known


def case(stem: str, name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    found = golden.read(stem)[name]
    config = found.config.get("arguments") or found.config.get("params")
    return found.state(torch.float32), config


def run(*arguments: str) -> None:
    main(list(arguments))


def test_a_pickle_becomes_a_file_of_the_zoo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state, config = case("openai", "guided_legacy_order_heads")
    torch.save(state, "model.pt")
    Path("model.yaml").write_text(json.dumps(config))
    run("source=model.pt", "config=model.yaml", "family=openai", "out=given.safetensors")
    assert "ImprovedDDPM" in capsys.readouterr().out
    inline = [f"+config.{key}={json.dumps(value)}" for key, value in config.items()]
    run("source=model.pt", *inline, "dtype=float16")  # the family is told by the weights
    first, second = (zoo.load(name) for name in ("given.safetensors", "model.safetensors"))
    assert torch.equal(first.denoiser.conv_in.weight, state["input_blocks.0.0.weight"])
    torch.testing.assert_close(
        second.denoiser.conv_in.weight, first.denoiser.conv_in.weight, rtol=1e-3, atol=1e-3
    )
    origin = zoo.checkpoint.provenance("given.safetensors")["converted"]
    assert origin["family"] == "openai"
    assert origin["sha256"] == hashlib.sha256(Path("model.pt").read_bytes()).hexdigest()


def test_a_published_name_says_what_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    state, config = case("compvis", "vq_decode")
    torch.save({"state_dict": state, "epoch": 3}, "model.ckpt")
    digest = hashlib.md5(Path("model.ckpt").read_bytes()).hexdigest()
    tiny = {**PUBLISHED["vq_f4"], "config": {"params": config}, "md5": digest}
    monkeypatch.setattr(published, "published", lambda: {"tiny": tiny})
    run("name=tiny", "source=model.ckpt")
    origin = zoo.checkpoint.provenance("tiny.safetensors")["converted"]
    assert origin["name"] == "tiny"
    assert origin["licence"].startswith("MIT")
    assert isinstance(zoo.load("tiny.safetensors"), zoo.Autoencoder)
    tiny["sha256"] = "0" * 64
    with pytest.raises(SystemExit):
        run("name=tiny", "source=model.ckpt")
    assert "not the published file, or torn: its sha256" in capsys.readouterr().err


def test_a_diffusers_folder_goes_there_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state, config = case("compvis", "ddpm_port")
    module = from_compvis(state, config)
    to_diffusers(module, tmp_path / "folder")
    run("source=folder", "out=back.safetensors")
    back = zoo.load("back.safetensors")
    ours, theirs = module.denoiser.state_dict(), back.denoiser.state_dict()
    assert all(torch.equal(theirs[key], value) for key, value in ours.items())
    assert zoo.checkpoint.provenance("back.safetensors")["converted"]["family"] == "diffusers"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["source=absent.pt"], "source=absent.pt: no such file or folder"),
        (["source=model.pt"], "give name=NAME"),
        (["source=model.pt", "out=model.pt"], "is the source itself"),
        (["source=model.pt", "out=other.pt"], "written to a .safetensors file"),
        (["source=model.pt", "config=absent.yaml"], "config=absent.yaml: no such file or folder"),
        (["source=model.pt", "family=google"], "possible are openai, compvis, diffusers"),
        (["source=model.pt", "name=adm_imagenet265"], "did you mean 'adm_imagenet256'"),
        (["source=model.pt", "family=compvis", "+config.ch=1"], "resemble a U-Net or classifier"),
        (
            ["source=model.pt", "+config.image_size=64", "dtype=int8"],
            "dtype=int8: expected",
        ),
        (["source=model.pt", "+config.image_size=64", "dtype=float64"], "possible are float32"),
        (["source=model.pt", "+config.image_size=64"], "model.pt: openai U-Net: the weights"),
    ],
)
def test_mistakes_get_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(
        {"input_blocks.0.0.weight": torch.ones(1), "output_blocks.0": torch.ones(1)}, "model.pt"
    )
    with pytest.raises(SystemExit):
        run(*arguments)
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
