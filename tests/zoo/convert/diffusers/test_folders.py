"""Which files of a diffusers folder are read, as diffusers writes them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from zoo.convert import from_diffusers, read
from zoo.convert.__main__ import main
from zoo.records import Condition

_spec = importlib.util.spec_from_file_location("pairs", Path(__file__).with_name("pairs.py"))
assert _spec is not None and _spec.loader is not None
pairs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pairs)
diffusers: Any = pairs.diffusers

SIZES: dict[str, Any] = dict(
    sample_size=16,
    block_out_channels=(32, 64),
    down_block_types=("DownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "UpBlock2D"),
    layers_per_block=1,
    norm_num_groups=8,
    add_attention=False,
)


def unet(seed: int) -> Any:
    return pairs.draw_weights(diffusers.UNet2DModel(**SIZES), seed)


LAST, EMA = unet(0), unet(1)


def output(ours: Any) -> Tensor:
    with torch.no_grad():
        return ours.denoiser(pairs.noise(2, 3, 16, 16), torch.tensor([3.0, 900.0]), Condition())


def same(ours: Any, theirs: Any) -> bool:
    with torch.no_grad():
        expected = theirs(pairs.noise(2, 3, 16, 16), torch.tensor([3.0, 900.0])).sample
    return bool(pairs.difference(output(ours), expected) < 1e-5)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("sharded", [False, True])
def test_files_as_diffusers_writes_them(
    safe: bool, variant: str | None, sharded: bool, tmp_path: Path
) -> None:
    size = "100KB" if sharded else "1GB"
    LAST.save_pretrained(tmp_path, safe_serialization=safe, variant=variant, max_shard_size=size)
    assert len([*tmp_path.glob("*.json")]) == 1 + sharded
    for choice in {None, variant}:
        ours = from_diffusers(tmp_path, variant=choice)
        assert same(ours, LAST)
        assert ours.origin.get("variant") == variant
    assert read(tmp_path).keys() == LAST.state_dict().keys()
    with pytest.raises(ValueError, match="variant"):
        from_diffusers(tmp_path, variant="bf16")


def test_a_variant_beside_the_main_file(tmp_path: Path) -> None:
    LAST.save_pretrained(tmp_path)
    EMA.save_pretrained(tmp_path, variant="fp16")
    assert same(from_diffusers(tmp_path), LAST)
    assert same(from_diffusers(tmp_path, variant="fp16"), EMA)


def test_what_is_not_averaged_is_a_variant(tmp_path: Path) -> None:
    EMA.save_pretrained(tmp_path)
    LAST.save_pretrained(tmp_path, variant="non_ema")
    for weights in (None, "ema"):
        ours = from_diffusers(tmp_path, weights=weights)
        assert same(ours, EMA)
        assert ours.origin["weights"] == "the averages"
    last = from_diffusers(tmp_path, weights="raw")
    assert same(last, LAST)
    assert last.origin["weights"] == "the last ones (non_ema), not the averages"


def test_averages_of_diffusers_own_training(tmp_path: Path) -> None:
    """The folder of accelerate's state: unet, and unet_ema as EMAModel saves it."""
    model = diffusers.training_utils.EMAModel(
        EMA.parameters(), model_cls=diffusers.UNet2DModel, model_config=EMA.config
    )
    LAST.save_pretrained(tmp_path / "unet")
    model.save_pretrained(tmp_path / "unet_ema")
    assert "optimization_step" in json.loads((tmp_path / "unet_ema" / "config.json").read_text())
    for weights, theirs, note in (
        (None, EMA, "the averages (unet_ema)"),
        ("ema", EMA, "the averages (unet_ema)"),
        ("raw", LAST, "the last ones (unet), not the averages"),
    ):
        ours = from_diffusers(tmp_path, weights=weights)
        assert same(ours, theirs)
        assert ours.origin["weights"] == note
    assert from_diffusers(tmp_path / "unet_ema").origin["weights"] == "the averages"
    with pytest.raises(ValueError, match="weights=raw, but these are averages"):
        from_diffusers(tmp_path / "unet_ema", weights="raw")
    with pytest.raises(ValueError, match="weights=ema, but there are no averages"):
        from_diffusers(tmp_path / "unet", weights="ema")
    with pytest.raises(ValueError, match="weights=best: a folder has ema or raw"):
        from_diffusers(tmp_path / "unet", weights="best")


def test_configs_with_a_byte_order_mark(tmp_path: Path) -> None:
    LAST.save_pretrained(tmp_path, max_shard_size="100KB")
    for file in tmp_path.glob("*.json"):
        file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert same(from_diffusers(tmp_path), LAST)


def test_the_command_line_says_which_weights_and_writes_it_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    LAST.save_pretrained("state/unet", variant="fp16")
    EMA.save_pretrained("state/unet_ema", variant="fp16")
    main(["source=state", "variant=fp16"])
    assert "weights: the averages (unet_ema)\n" in capsys.readouterr().out
    provenance = zoo.checkpoint.provenance("state.safetensors")
    assert provenance["weights"] == "the averages (unet_ema)"
    assert provenance["variant"] == "fp16"
    assert same(zoo.load("state.safetensors"), EMA)
    for source, words in (
        ("/nope", "source=/nope: no such file or folder"),
        ("empty", "not a diffusers folder"),
    ):
        Path("empty").mkdir(exist_ok=True)
        with pytest.raises(SystemExit):
            main([f"source={source}"])
        assert words in capsys.readouterr().err
    with pytest.raises(ValueError, match="/nope: no such folder"):
        from_diffusers("/nope")


def test_a_network_alone_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    theirs = pairs.draw_weights(diffusers.AutoencoderKL(**pairs.KL["kl"]))
    theirs.save_pretrained("vae")
    main(["source=vae"])
    loaded = zoo.load("vae.safetensors")
    images = pairs.noise(2, 3, 8, 8).clamp(-1, 1)
    with torch.no_grad():
        expected = theirs.encode(images).latent_dist.parameters
        assert pairs.difference(loaded.moments(images), expected) < 1e-5
