from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from eval.extractor import DinoV2, Edm2DinoV2, dino
from zoo.checkpoint import sha256

ROOT = Path(__file__).parents[3]


def _script(name: str) -> Any:
    before = list(sys.path)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


golden, reader = _script("golden_dinov2"), _script("_golden")


def tiny(size: str) -> Any:
    """timm's DINOv2 of a published size, made small."""
    return timm.create_model(
        f"vit_{golden.CASES.get(size, 'small')}_patch14_dinov2",
        img_size=224,
        num_classes=0,
        embed_dim=golden.WIDTH,
        depth=golden.DEPTH,
        num_heads=golden.HEADS,
    )


@pytest.fixture(autouse=True)
def tiny_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    published = dino._architecture

    def architecture(size: str) -> Any:
        return tiny(size) if size in golden.CASES else published(size)

    monkeypatch.setattr(dino, "_architecture", architecture)
    for name in golden.CASES:
        monkeypatch.setitem(dino.WIDTHS, name, golden.WIDTH)


@pytest.fixture
def rgb() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 20, 28), dtype=torch.uint8, generator=generator)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights as Meta's file has them."""
    path = tmp_path / "tiny.pth"
    torch.save(reader.read("dinov2")["mlp"].state(torch.float32), path)
    return path


@pytest.mark.parametrize("case", golden.CASES)
def test_features_are_those_of_metas_code(case: str, tmp_path: Path) -> None:
    found = reader.read("dinov2")[case]
    assert found.shapes["pos_embed"] == (1, 1 + 37**2, golden.WIDTH)  # of 518 pixels
    torch.save(found.state(torch.float32), tmp_path / "meta.pth")
    features = DinoV2(tmp_path / "meta.pth", size=case)(golden.images())["pool"]
    assert features.std(dim=0).mean() > 0.01  # the images differ in it
    torch.testing.assert_close(features.double(), found.output, rtol=0, atol=3e-6)


def test_transformers_resamples_positions_otherwise(weights: Path, monkeypatch) -> None:
    """What keeps the comparison above from passing by luck."""
    right = DinoV2(weights, size="mlp")(golden.images())["pool"]
    monkeypatch.setattr(dino, "_OFFSET", 0.0)
    other = DinoV2(weights, size="mlp")(golden.images())["pool"]
    assert (right - other).abs().max() > 1e-4  # thirty times the tolerance there


@pytest.mark.parametrize("swiglu", [False, True])
def test_hugging_faces_file_gives_transformers_features(
    swiglu: bool, tmp_path: Path, rgb: Tensor
) -> None:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=golden.WIDTH,
        num_hidden_layers=golden.DEPTH,
        num_attention_heads=golden.HEADS,
        image_size=224,
        patch_size=14,
        use_swiglu_ffn=swiglu,
        initializer_range=0.3,
    )
    network = Dinov2Model(config).eval()
    network.save_pretrained(tmp_path)
    assert "encoder.layer.0.attention.attention.query.weight" in load_file(
        tmp_path / "model.safetensors"
    )
    extractor = DinoV2(
        tmp_path / "model.safetensors", size="swiglu" if swiglu else "mlp", sha256=None
    )
    ready = golden.prepared(torch.stack([golden.by_pillow(image) for image in rgb]).float())
    with torch.no_grad():
        expected = network(ready).last_hidden_state[:, 0]
    assert expected.std(dim=0).mean() > 0.1
    torch.testing.assert_close(extractor(rgb)["pool"], expected, rtol=1e-5, atol=1e-5)


def test_timms_file_gives_timms_features(tmp_path: Path, rgb: Tensor) -> None:
    torch.manual_seed(1)
    network = tiny("mlp").eval()
    save_file(network.state_dict(), tmp_path / "timm.safetensors")
    ready = golden.prepared(torch.stack([golden.by_pillow(image) for image in rgb]).float())
    with torch.no_grad():
        expected = network(ready)  # its pooling is the class token after the norm
    features = DinoV2(tmp_path / "timm.safetensors", size="mlp")(rgb)["pool"]
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


def test_resizes_are_dgm_evals_and_edm2s(weights: Path, rgb: Tensor) -> None:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import resize

    rounded, exact = DinoV2(weights, size="mlp"), Edm2DinoV2(weights, size="mlp")
    assert torch.equal(
        rounded.resized(rgb), torch.stack([golden.by_pillow(i) for i in rgb]).float()
    )
    theirs = resize(rgb.float(), [224, 224], InterpolationMode.BICUBIC, antialias=True)
    assert torch.equal(exact.resized(rgb), theirs)
    gap = (rounded.resized(rgb) - theirs).abs()  # Pillow rounds and clips, twice
    assert 0.2 < gap.mean() < 2
    assert (rounded.name, exact.name) == ("dinov2_mlp", "dinov2_edm2_mlp")
    assert "8 bits" in rounded.resize and "float32" in exact.resize


def test_grey_images_alone_or_in_a_batch(weights: Path, rgb: Tensor) -> None:
    extractor, grey = DinoV2(weights, size="mlp"), rgb[:, :1]
    alone = torch.cat([extractor(image[None].repeat(1, 3, 1, 1))["pool"] for image in grey])
    torch.testing.assert_close(extractor(grey)["pool"], alone, rtol=1e-4, atol=1e-5)


def test_published_sizes_are_timms_networks() -> None:
    for size, width in [("base", 768), ("large", 1024), ("giant", 1536)]:
        with torch.device("meta"):
            network = dino._architecture(size)
        assert dino.WIDTHS[size] == network.embed_dim == width
        assert network.pos_embed.shape == (1, 257, width)
        assert len(network.blocks) == {"base": 12, "large": 24, "giant": 40}[size]


def test_missing_weights_name_file_hash_and_place(no_weights: Path) -> None:
    with pytest.raises(ValueError, match="are missing") as refusal:
        DinoV2()
    for part in ("model.safetensors", "sha256 399fba97", "dinov2_vitl14_pretrain.pth", "d5383ea8"):
        assert part in str(refusal.value)
    assert str(no_weights) in str(refusal.value)
    with pytest.raises(ValueError, match=r"name their path; .*/dinov2_vitb14_pretrain\.pth"):
        DinoV2(size="base")
    with pytest.raises(ValueError, match="sizes are small, base, large, giant"):
        DinoV2(size="huge")


def test_torn_and_foreign_files_are_refused_in_one_line(weights: Path, tmp_path: Path) -> None:
    def refused(path: Path, words: str, size: str = "mlp") -> None:
        with pytest.raises(ValueError, match=words) as refusal:
            _ = DinoV2(path, size=size).network
        assert "\n" not in str(refusal.value)
        assert str(path) in str(refusal.value)

    state = torch.load(weights, weights_only=True)
    whole, torn = tmp_path / "whole.safetensors", tmp_path / "torn.safetensors"
    save_file(state, whole)
    torn.write_bytes(whole.read_bytes()[:-5])
    refused(torn, "torn")
    (tmp_path / "torn.pth").write_bytes(weights.read_bytes()[:-500])
    refused(tmp_path / "torn.pth", "not weights of DINOv2")
    refused(weights, "has sha256", size="large")  # not the published file
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    refused(tmp_path / "other.safetensors", "holds no DINOv2")
    refused(weights, "not DINOv2 base", size="base")
    torch.save({**state, "register_tokens": torch.zeros(1, 4, golden.WIDTH)}, tmp_path / "reg.pth")
    refused(tmp_path / "reg.pth", "register_tokens")
    torch.save([1, 2], tmp_path / "list.pth")
    refused(tmp_path / "list.pth", "no table of tensors")
    with pytest.raises(ValueError, match="expected 00"):
        DinoV2(weights, size="mlp", sha256="00")
    assert DinoV2(weights, size="mlp", sha256=sha256(weights)).sha256 == sha256(weights)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "exploded",)

    torch.save({"cls_token": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(ValueError, match="not weights of DINOv2"):
        _ = DinoV2(tmp_path / "bomb.pth", size="mlp").network
    assert not (tmp_path / "exploded").exists()


def test_broken_features_name_the_extractor_and_the_image(weights: Path, rgb: Tensor) -> None:
    extractor = DinoV2(weights, size="mlp")
    forward = extractor.network.forward_features

    def broken(x: Tensor) -> Tensor:
        found = forward(x)
        found[1] = torch.nan
        return found

    extractor.network.forward_features = broken
    with pytest.raises(ValueError, match=r"dinov2_mlp: NaN .* 1 of 3 images of a batch \(rows 1\)"):
        extractor(rgb)
