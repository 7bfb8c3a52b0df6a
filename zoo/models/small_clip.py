"""A small CLIP with its own vocabulary, for the CLIP score of small images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.augmentation import moved, noisy
from zoo.recipe import Recipe
from zoo.records import Batch
from zoo.system.processes import differentiable_rows, objects, rank_and_count
from zoo.trainable import Trainable

_MAX_WORDS = 4096  # the rarer ones become "unknown", which is thereby learned too
_MAX_CONTEXT = 77


class SmallClip(Trainable):
    """open_clip's ``CLIP`` at the size of the data, trained on the data's own captions.

    Words are the tokens. The vocabulary is taken from the training captions when a training
    begins, and lies in the config of a saved file as a plain list: the file needs no other.

    Args:
        image_shape: (C, H, W) of every image; one channel is repeated three times, for
            open_clip's vision tower has three.
        recipe: how to train.
        vocabulary: the words it knows; None until a training has read its captions.
        context_length: tokens of a caption, the end token included; None as the vocabulary.
        embedding: length of the features that images and captions share.
        patch_size: side of the square patches in pixels.
        image_width: of the vision tower; its heads are 16 wide.
        image_layers: of the vision tower.
        text_width: of the text tower; its heads are 16 wide.
        text_layers: of the text tower.

    Raises:
        ValueError: an argument is impossible.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        recipe: Recipe | None = None,
        vocabulary: Sequence[str] | None = None,
        context_length: int | None = None,
        embedding: int = 64,
        patch_size: int = 4,
        image_width: int = 64,
        image_layers: int = 3,
        text_width: int = 32,
        text_layers: int = 1,
    ) -> None:
        super().__init__(recipe)
        _, height, width = image_shape
        if height % patch_size or width % patch_size:
            raise ValueError(f"patches of {patch_size} pixels do not tile {height}x{width} images")
        if image_width % 16 or text_width % 16:
            raise ValueError(f"widths are multiples of 16, got {image_width} and {text_width}")
        self.image_shape = tuple(image_shape)
        self.vocabulary = None if vocabulary is None else list(vocabulary)
        self.context_length = context_length
        self.embedding = embedding
        self.patch_size = patch_size
        self.image_width, self.image_layers = image_width, image_layers
        self.text_width, self.text_layers = text_width, text_layers
        if self.vocabulary is not None:
            self._build()

    def setup(self, stage: str) -> None:
        """Takes the vocabulary from the training captions, once."""
        if self.vocabulary is not None:
            return
        captions = self.trainer.datamodule.train.all_captions  # type: ignore[attr-defined]
        if not captions:
            raise ValueError("a small CLIP learns from captions, which this data set has not")
        self.vocabulary, self.context_length = vocabulary_of(captions)
        self._build()

    def _build(self) -> None:
        from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

        assert self.vocabulary is not None
        if self.context_length is None or self.context_length < 2:
            raise ValueError(f"context_length is at least 2, got {self.context_length}")
        self._ids = {word: number for number, word in enumerate(self.vocabulary, start=1)}
        vision = CLIPVisionCfg(
            layers=self.image_layers,
            width=self.image_width,
            head_width=16,
            patch_size=self.patch_size,
            image_size=self.image_shape[1:],
        )
        text = CLIPTextCfg(
            context_length=self.context_length,
            vocab_size=len(self.vocabulary) + 3,
            width=self.text_width,
            heads=self.text_width // 16,
            layers=self.text_layers,
        )
        self.clip = CLIP(self.embedding, vision, text)

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Captions as (B, ``context_length``) int64; a longer one loses words but keeps its end.

        0 is padding, then come the words, then "unknown"; the end has the highest number, which
        is where open_clip's text tower looks for it.

        Raises:
            ValueError: a caption has no word of the vocabulary.
        """
        length, unknown = int(self.context_length or 0), len(self._ids) + 1
        rows = torch.zeros(len(captions), length, dtype=torch.int64)
        for row, caption in zip(rows, captions, strict=True):
            numbers = [self._ids.get(word, unknown) for word in words(caption)][: length - 1]
            if all(number == unknown for number in numbers):
                raise ValueError(
                    f"this small CLIP knows no word of the caption {caption!r}: train one on such "
                    "captions with `zoo train model=small_clip data=...`"
                )
            row[: len(numbers) + 1] = torch.tensor([*numbers, unknown + 1])
        return rows

    def encode_image(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] to features (B, ``embedding``) of unit length.

        Raises:
            ValueError: the images are not of ``image_shape``.
        """
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"this small CLIP was made for images {self.image_shape}, got "
                f"{tuple(images.shape[1:])}"
            )
        return self.clip.encode_image(images.expand(-1, 3, -1, -1), normalize=True)

    def encode_text(self, captions: Sequence[str]) -> Tensor:
        """Captions to features (B, ``embedding``) of unit length."""
        return self.clip.encode_text(self.tokens(captions).to(self.device), normalize=True)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The contrastive loss of augmented images, among those of all processes."""
        images, captions = _images_captions(batch)
        distinct, owners = distinct_captions([c for part in objects(captions) for c in part])
        draw = self.draw(len(images), "augmentation")
        images = noisy(moved(images, draw), draw)
        features = differentiable_rows(self.encode_image(images).float())
        cosines = features @ self.encode_text(distinct).float().T
        scale = self.clip.logit_scale.exp().clamp(max=100.0)  # as CLIP does
        return {"loss": contrastive_loss(scale * cosines, owners.to(cosines.device))}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs how often an image's own caption is the nearest, and their CLIP score.

        The captions are those of all processes' images.
        """
        images, captions = _images_captions(batch)
        parts = objects(captions)
        distinct, owners = distinct_captions([c for part in parts for c in part])
        first = sum(len(part) for part in parts[: rank_and_count()[0]])
        cosines = self.encode_image(images).float() @ self.encode_text(distinct).float().T
        owner = owners[first : first + len(images)].to(cosines.device)
        right = (cosines.argmax(dim=1) == owner).float().mean()
        score = 100 * cosines.gather(1, owner[:, None]).clamp(min=0).mean()
        self.log_validation({"val/accuracy": right, "val/clip_score": score}, len(images))


def contrastive_loss(logits: Tensor, owner: Tensor) -> Tensor:
    """CLIP's symmetric loss (arXiv:2103.00020) where a caption may belong to several images.

    Images choose among the distinct captions; a caption's target is spread evenly over all of its
    images (arXiv:2004.11362, eq. 2). With one image per caption this is CLIP's own loss.

    Args:
        logits: (images, distinct captions).
        owner: (images,) int64, the caption of each image.
    """
    of_images = F.cross_entropy(logits, owner)
    own = F.one_hot(owner, logits.shape[1]).T.to(logits.dtype)
    of_captions = F.cross_entropy(logits.T, own / own.sum(dim=1, keepdim=True))
    return (of_images + of_captions) / 2


def distinct_captions(captions: Sequence[str]) -> tuple[list[str], Tensor]:
    """The distinct captions in order of appearance, and which of them each caption is, (B,)."""
    number = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
    return list(number), torch.tensor([number[caption] for caption in captions])


def words(caption: str) -> list[str]:
    """A caption's words in lower case, punctuation left out.

    >>> words("A handwritten three, tilted.")
    ['a', 'handwritten', 'three', 'tilted']
    """
    return "".join(c if c.isalnum() else " " for c in caption.lower()).split()


def vocabulary_of(captions: Iterable[str]) -> tuple[list[str], int]:
    """The captions' most frequent words, sorted, and the tokens that the longest caption takes."""
    counts: Counter[str] = Counter()
    longest = 1
    for caption in captions:
        caption_words = words(caption)
        counts.update(caption_words)
        longest = max(longest, len(caption_words))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return sorted(ranked[:_MAX_WORDS]), min(longest + 1, _MAX_CONTEXT)


def _images_captions(batch: Batch) -> tuple[Tensor, list[str]]:
    captions: Any = batch.condition
    if batch.images is None or not isinstance(captions, list):
        raise ValueError("a small CLIP trains on images with captions: set data.condition=caption")
    return batch.images, captions
