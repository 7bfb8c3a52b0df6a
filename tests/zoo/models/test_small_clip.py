from __future__ import annotations

import math

import pytest
import torch
from lightning import Trainer

from zoo.checkpoint import config, load
from zoo.data import Digits
from zoo.entry import compose
from zoo.models.small_clip import (
    SmallClip,
    contrastive_loss,
    distinct_captions,
    vocabulary_of,
    words,
)
from zoo.recipe import Recipe
from zoo.records import Batch

VOCABULARY, CONTEXT = vocabulary_of(["a handwritten three", "a small handwritten four"])

LIGHTNING = pytest.mark.filterwarnings("ignore:.*many workers", "ignore:.*LeafSpec")


def small(**options: object) -> SmallClip:
    torch.manual_seed(0)
    arguments = {"vocabulary": VOCABULARY, "context_length": CONTEXT, "image_layers": 1} | options
    return SmallClip((1, 8, 8), **arguments)


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


class TestLoss:
    def test_distinct_captions_give_open_clips(self) -> None:
        from open_clip.loss import ClipLoss

        generator = torch.Generator().manual_seed(0)
        pictures, texts = torch.randn(2, 6, 8, generator=generator, dtype=torch.float64)
        theirs = ClipLoss()(pictures, texts, torch.tensor(5.0, dtype=torch.float64))
        ours = contrastive_loss(5.0 * pictures @ texts.T, torch.arange(6))
        torch.testing.assert_close(ours, theirs)

    def test_a_caption_of_several_images(self) -> None:
        logits = torch.tensor([[2.0, 0.0], [1.0, 0.5], [0.0, 3.0]], dtype=torch.float64)
        owner = torch.tensor([0, 0, 1])

        def of_image(row: int) -> float:
            return torch.logsumexp(logits[row], 0).item() - logits[row, owner[row]].item()

        column = logits.T.logsumexp(1)
        of_captions = [
            column[0].item() - (logits[0, 0] + logits[1, 0]).item() / 2,
            (column[1] - logits[2, 1]).item(),
        ]
        expected = (sum(map(of_image, range(3))) / 3 + sum(of_captions) / 2) / 2
        assert contrastive_loss(logits, owner).item() == pytest.approx(expected)

    def test_images_of_one_caption_are_not_set_against_each_other(self) -> None:
        perfect = torch.tensor([[50.0, 0.0]] * 3 + [[0.0, 50.0]] * 2)
        owner = torch.tensor([0, 0, 0, 1, 1])
        least = (math.log(3) + math.log(2)) / 2 / 2  # a caption cannot tell its images apart
        assert contrastive_loss(perfect, owner).item() == pytest.approx(least, rel=1e-5)

    def test_distinct(self) -> None:
        distinct, owner = distinct_captions(["b", "a", "b", "c"])
        assert distinct == ["b", "a", "c"]
        assert owner.tolist() == [0, 1, 0, 2]


class TestTokens:
    def test_vocabulary(self) -> None:
        assert VOCABULARY == ["a", "four", "handwritten", "small", "three"]
        assert CONTEXT == 5  # four words and the end
        assert words("It's TWO, two!") == ["it", "s", "two", "two"]

    def test_rare_words_are_dropped(self, monkeypatch) -> None:
        monkeypatch.setattr("zoo.models.small_clip._MAX_WORDS", 2)
        assert vocabulary_of(["x y z", "z y", "z"])[0] == ["y", "z"]

    def test_words_unknown_end_and_padding(self) -> None:
        rows = small().tokens(["a three", "a purple four", "a small handwritten three a a a"])
        assert rows.tolist() == [[1, 5, 7, 0, 0], [1, 6, 2, 7, 0], [1, 4, 3, 5, 7]]

    def test_a_caption_of_strange_words_is_refused(self) -> None:
        with pytest.raises(ValueError, match="knows no word of the caption 'purple cat'"):
            small().tokens(["a three", "purple cat"])


def test_it_is_open_clips_class_and_its_forward() -> None:
    from open_clip.model import CLIP

    module = small().eval()
    assert type(module.clip) is CLIP
    captions = ["a handwritten three", "four"]
    with torch.no_grad():
        pictures, texts, _ = module.clip(images(2).expand(-1, 3, -1, -1), module.tokens(captions))
        torch.testing.assert_close(module.encode_image(images(2)), pictures)
        torch.testing.assert_close(module.encode_text(captions), texts)


def test_the_end_token_is_what_the_text_tower_reads() -> None:
    module = small().eval()
    with torch.no_grad():
        short, long = (module.encode_text([text]) for text in ("a three", "a three four"))
        padded = module.tokens(["a three"])
        padded[0, 3:] = 2  # whatever lies behind the end does not count: the tower is causal
        unchanged = module.clip.encode_text(padded, normalize=True)
    torch.testing.assert_close(short, unchanged)
    assert (short - long).abs().max() > 1e-3


def test_a_file_is_self_contained(tmp_path) -> None:
    module = small().eval()
    path = module.save(tmp_path / "clip.safetensors")
    assert config(path)["vocabulary"] == VOCABULARY
    loaded = load(path)
    with torch.no_grad():
        torch.testing.assert_close(loaded.encode_image(images()), module.encode_image(images()))
        torch.testing.assert_close(loaded.encode_text(["three"]), module.encode_text(["three"]))


@LIGHTNING
def test_takes_its_vocabulary_from_the_training_captions_and_learns(tmp_path) -> None:
    import functools

    data = Digits(image_size=8, batch_size=64, condition="caption")
    module = small(vocabulary=None, context_length=None)
    module.recipe = Recipe(functools.partial(torch.optim.AdamW, lr=3e-3))
    trainer = Trainer(
        max_steps=120,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data)
    assert len(module.vocabulary) == 12  # "a", "handwritten" and ten digits
    assert module.context_length == 4
    loaded = load(module.save(tmp_path / "clip.safetensors"))
    captions, owner = distinct_captions(data.test.captions)
    with torch.no_grad():
        cosines = loaded.encode_image(data.test.images / 127.5 - 1) @ loaded.encode_text(captions).T
    assert (cosines.argmax(dim=1) == owner).float().mean() > 0.3


def test_refusals() -> None:
    with pytest.raises(ValueError, match="patches of 3 pixels"):
        small(patch_size=3)
    with pytest.raises(ValueError, match="multiples of 16"):
        small(image_width=40)
    with pytest.raises(ValueError, match="at least 2, got None"):
        small(context_length=None)
    with pytest.raises(ValueError, match=r"made for images \(1, 8, 8\)"):
        small().encode_image(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="data.condition=caption"):
        small().training_step(Batch(images(), torch.arange(4)), 0)


def test_config_asks_for_captions() -> None:
    cfg = compose("train", ["model=small_clip", "data=digits"])
    assert cfg.data.condition == "caption"
    assert cfg.trainer.max_steps == 1000
    assert cfg.trainer.precision == "32-true"
