from __future__ import annotations

import pytest
import torch

from eval.extractor import Small, SmallClip
from zoo.checkpoint import sha256


def test_features_of_uint8_images_are_those_of_the_module(
    tmp_path, small_extractor, images
) -> None:
    path = small_extractor.save(tmp_path / "extractor.safetensors")
    extractor = Small(path)
    features = extractor(images)
    with torch.no_grad():
        expected = small_extractor(images / 255.0 * 2 - 1)
    assert extractor.name == "small"
    assert extractor.sha256 == sha256(path)
    assert {name: tuple(f.shape) for name, f in features.items()} == {
        "pool": (5, 64),
        "logits": (5, 3),
    }
    for name, feature in features.items():
        assert not feature.requires_grad
        torch.testing.assert_close(feature, expected[name], rtol=1e-4, atol=1e-5)


def test_an_image_has_its_features_in_any_batch(tmp_path, small_extractor, images) -> None:
    extractor = Small(small_extractor.save(tmp_path / "extractor.safetensors"))
    many = extractor(images.repeat(130, 1, 1, 1))["pool"]  # three pieces
    alone = torch.cat([extractor(image[None])["pool"] for image in images])
    torch.testing.assert_close(many, alone.repeat(130, 1), rtol=1e-4, atol=1e-6)


def test_clip_pairs_share_a_space_and_captions_are_encoded_once(
    tmp_path, small_clip, images, monkeypatch
) -> None:
    path = small_clip.save(tmp_path / "clip.safetensors")
    extractor = SmallClip(path)
    pool = extractor(images)["pool"]
    asked: list[list[str]] = []
    encode = type(extractor.network).encode_text
    monkeypatch.setattr(
        type(extractor.network),
        "encode_text",
        lambda self, captions: asked.append(list(captions)) or encode(self, captions),
    )
    captions = ["a handwritten three", "four", "a handwritten three"]
    texts = SmallClip(path).text(captions * 2)
    assert asked == [["a handwritten three", "four"]]
    assert texts.shape == (6, pool.shape[1])
    with torch.no_grad():
        torch.testing.assert_close(texts[:3], small_clip.encode_text(captions))
        torch.testing.assert_close(
            pool, small_clip.encode_image(images / 127.5 - 1), rtol=1e-4, atol=1e-5
        )
    torch.testing.assert_close(pool.norm(dim=1), torch.ones(5))


def test_texts_beyond_the_limit_are_encoded_again() -> None:
    from eval.extractor.extractor import DistinctTexts

    texts = DistinctTexts(lambda captions: torch.tensor([[float(c)] for c in captions]), limit=2)
    assert texts(["1", "2"]).tolist() == [[1.0], [2.0]]
    assert texts(["2", "3", "3"]).tolist() == [[2.0], [3.0], [3.0]]
    assert len(texts._cache) == 2


def test_refusals(tmp_path, small_extractor, small_clip, images) -> None:
    extractor_path = small_extractor.save(tmp_path / "extractor.safetensors")
    clip_path = small_clip.save(tmp_path / "clip.safetensors")
    with pytest.raises(ValueError, match="model=small_extractor data="):
        Small(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="holds a SmallClip, not a SmallExtractor"):
        Small(clip_path)
    with pytest.raises(ValueError, match="holds a SmallExtractor, not a SmallClip"):
        SmallClip(extractor_path)
    small = Small(extractor_path)
    with pytest.raises(ValueError, match="takes uint8 images"):
        small(images.float())
    with pytest.raises(ValueError, match=r"made for images \(1, 8, 8\), got \(3, 8, 8\)"):
        small(images.expand(-1, 3, -1, -1))
    with pytest.raises(ValueError, match=r"made for images \(1, 8, 8\), got \(1, 4, 8\)"):
        SmallClip(clip_path)(images[:, :, :4])
    with pytest.raises(ValueError, match="no captions"):
        SmallClip(clip_path).text([])
