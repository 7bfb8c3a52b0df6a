from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.extractor import CroppedClip, OpenClip
from zoo.checkpoint import sha256

TINY = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 16,
        "heads": 1,
        "layers": 1,
    },
}
MODEL = "zoo-test-tiny"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny architecture that open_clip knows from now on, and random weights of it."""
    import open_clip
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("open_clip")
    config = folder / f"{MODEL}.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    network = open_clip.create_model(MODEL)
    path = folder / "random.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def extractor(weights: Path) -> OpenClip:
    return OpenClip(MODEL, "random", path=weights)


@pytest.fixture
def rgb() -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (3, 3, 20, 28), dtype=torch.uint8, generator=generator)


def peer(weights: Path) -> Any:
    import open_clip

    network, preprocess = open_clip.create_model_from_pretrained(MODEL, pretrained=str(weights))
    return network.eval(), preprocess, open_clip.get_tokenizer(MODEL)


def test_features_are_open_clips(extractor: OpenClip, weights: Path, rgb: torch.Tensor) -> None:
    from PIL import Image

    network, preprocess, tokenizer = peer(weights)
    captions = ["a photo of a cat", "a dog"]
    with torch.no_grad():
        ready = [preprocess(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in rgb]
        expected = network.encode_image(torch.stack(ready))
        texts = network.encode_text(tokenizer(captions))
    assert extractor.name == "zoo-test-tiny/random"
    assert extractor.sha256 == sha256(weights)
    torch.testing.assert_close(extractor(rgb)["pool"], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(extractor.text(captions), texts, rtol=1e-5, atol=1e-6)
    assert "bicubic" in extractor.resize


def test_grey_becomes_three_equal_channels(extractor: OpenClip, rgb: torch.Tensor) -> None:
    grey = rgb[:, :1]
    features = extractor(grey)["pool"]
    torch.testing.assert_close(features, extractor(grey.repeat(1, 3, 1, 1))["pool"])
    alone = torch.cat([extractor(image[None])["pool"] for image in grey])
    torch.testing.assert_close(features, alone, rtol=1e-4, atol=1e-5)


def test_each_distinct_caption_is_encoded_once(extractor: OpenClip, monkeypatch) -> None:
    encode, rows = extractor.network.encode_text, []
    monkeypatch.setattr(
        extractor.network, "encode_text", lambda tokens: rows.append(len(tokens)) or encode(tokens)
    )
    features = extractor.text(["a cat", "a dog", "a cat"])
    extractor.text(["a dog"])
    assert rows == [2]
    assert torch.equal(features[0], features[2])


def test_short_captions_are_encoded_at_their_own_length(
    extractor: OpenClip, weights: Path, monkeypatch
) -> None:
    network, _, tokenizer = peer(weights)
    captions = ["a cat", "two words and a few more", "word " * 60]
    with torch.no_grad():
        whole = network.encode_text(tokenizer(captions))
    seen = []
    encode = extractor.network.encode_text
    monkeypatch.setattr(
        extractor.network, "encode_text", lambda tokens: seen.append(tokens.shape) or encode(tokens)
    )
    torch.testing.assert_close(extractor.text(captions), whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(extractor._encode(captions[:2]), whole[:2], rtol=1e-5, atol=1e-6)
    assert seen == [(3, 62), (2, 8)]
    assert extractor.network.positional_embedding.shape[0] == 77  # nothing was left cropped


def test_a_tower_that_is_not_causal_is_left_whole(extractor: OpenClip, monkeypatch) -> None:
    seen = []
    network = extractor.network
    monkeypatch.setattr(network, "attn_mask", torch.zeros_like(network.attn_mask))
    encode = network.encode_text
    monkeypatch.setattr(
        network, "encode_text", lambda tokens: seen.append(tokens.shape) or encode(tokens)
    )
    extractor.text(["a cat"])
    assert seen == [(1, 77)]


def test_a_long_caption_keeps_its_end(extractor: OpenClip, weights: Path) -> None:
    _, _, tokenizer = peer(weights)
    tokens = extractor._tokenizer(["word " * 200])
    assert tokens.shape == (1, 77)
    assert tokens[0, -1] == tokens.max() == tokenizer.eot_token_id
    assert extractor.text(["word " * 200]).isfinite().all()


def test_weights_trained_with_quickgelu_get_it(weights: Path, monkeypatch) -> None:
    from open_clip import pretrained as table
    from open_clip.transformer import QuickGELU

    entry = {"openai": {**table.get_pretrained_cfg("ViT-B-32", "openai")}}
    monkeypatch.setitem(table._PRETRAINED, MODEL, entry)
    network = OpenClip(MODEL, "openai", path=weights).network
    assert any(isinstance(module, QuickGELU) for module in network.modules())


def test_missing_weights_name_file_hash_and_place(no_weights: Path, weights: Path) -> None:
    with pytest.raises(ValueError, match="are missing") as refusal:
        OpenClip("ViT-B-32", "laion2b_s34b_b79k")
    for part in ("open_clip_model.safetensors", "sha256 ac4f8c4b", str(no_weights)):
        assert part in str(refusal.value)
    with pytest.raises(ValueError, match="are missing") as refusal:
        OpenClip("ViT-B-16", "laion2b_s34b_b88k")
    for part in ("hf.co/laion/CLIP-ViT-B-16", "sha256 unknown", str(no_weights)):
        assert part in str(refusal.value)


def test_the_zoos_cache_is_looked_into(no_weights: Path, weights: Path) -> None:
    no_weights.mkdir()
    cached = no_weights / "ViT-B-16-laion2b_s34b_b88k.safetensors"
    cached.write_bytes(weights.read_bytes())
    extractor = OpenClip("ViT-B-16", "laion2b_s34b_b88k")
    assert extractor.file == cached


def test_refusals(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'ViT-B-32'"):
        OpenClip("ViT-B-23", "openai")
    with pytest.raises(ValueError, match=r"no weights 'nope' of ViT-B-32; it has openai"):
        OpenClip("ViT-B-32", "nope")
    with pytest.raises(ValueError, match="expected 00"):
        OpenClip(MODEL, "random", path=weights, sha256="00")
    other = tmp_path / "other.safetensors"
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, other)
    with pytest.raises(ValueError, match="not weights of zoo-test-tiny"):
        _ = OpenClip(MODEL, "random", path=other).network


def test_a_torn_file_is_refused_when_it_is_looked_for(weights: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"torn\.safetensors: torn: [\d,]+ bytes where its header"):
        OpenClip(MODEL, "random", path=torn)
    (tmp_path / "page.safetensors").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="torn, or not a safetensors file"):
        OpenClip(MODEL, "random", path=tmp_path / "page.safetensors")


def test_nothing_is_unpickled(weights: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "exploded",)

    torch.save({"state_dict": {"weight": Bomb()}}, tmp_path / "bomb.pt")
    with pytest.raises(ValueError, match="not weights of zoo-test-tiny"):
        _ = OpenClip(MODEL, "random", path=tmp_path / "bomb.pt").network
    assert not (tmp_path / "exploded").exists()


def test_cropped_images_are_cmmds(weights: Path, rgb: torch.Tensor) -> None:
    """The steps of google-research's cmmd: crop, Pillow's bicubic, CLIP's mean and deviation."""
    from PIL import Image
    from torchvision.transforms.functional import to_pil_image
    from transformers import CLIPImageProcessor

    extractor = CroppedClip(MODEL, "random", path=weights)
    processor = CLIPImageProcessor(
        do_resize=False, do_center_crop=False, do_rescale=False, do_normalize=True
    )
    for image in rgb:  # 20 high, 28 wide
        square = Image.fromarray(image[:, :, 4:24].permute(1, 2, 0).numpy())
        small = square.resize((32, 32), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(small) / 255.0).float()
        want = processor(pixels.permute(2, 0, 1), return_tensors="pt")["pixel_values"][0]
        got = extractor._preprocess(to_pil_image(image))
        torch.testing.assert_close(got, want, rtol=0, atol=2e-6)
    plain = OpenClip(MODEL, "random", path=weights)
    assert torch.equal(extractor(rgb[..., :20])["pool"], plain(rgb[..., :20])["pool"])  # squares
    assert not torch.equal(extractor(rgb)["pool"], plain(rgb)["pool"])
    assert extractor.resize.startswith("cropped to the middle square, then open_clip's")
