"""scikit-learn's handwritten digits: real images that need no download."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.data.image_data import ImageData
from zoo.data.image_set import ImageSet
from zoo.data.pixels import pixels

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUM_TEST = 360


class Originals(NamedTuple):
    """A split as scikit-learn has it: images (N, 8, 8) float64 in [0, 16], labels (N,) int64."""

    images: np.ndarray
    labels: np.ndarray


def originals(split_seed: int = 0) -> tuple[Originals, Originals]:
    """The 8x8 digits, split into 1,437 to train and 360 to test, in equal shares of every class.

    The same rows in the same order as the splits of ``Digits``.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)),
        test_size=NUM_TEST,
        stratify=digits.target,
        random_state=split_seed,
    )
    labels = digits.target.astype(np.int64)
    return (
        Originals(digits.images[train], labels[train]),
        Originals(digits.images[test], labels[test]),
    )


def to_originals(images: Tensor) -> np.ndarray:
    """Digits of any multiple of 8 pixels back at scikit-learn's scale, by averaging blocks.

    Args:
        images: (N, 1, H, H) uint8, such as generated ones.

    Returns:
        (N, 8, 8) float64 in [0, 16].
    """
    count, _, height, width = images.shape
    if height % 8 or width % 8:
        raise ValueError(f"digits of a multiple of 8 pixels can be averaged to 8x8, got {height}")
    blocks = images[:, 0].double().reshape(count, 8, height // 8, 8, width // 8)
    return (blocks.mean(dim=(2, 4)) * (16 / 255)).numpy()


class Digits(ImageData):
    """scikit-learn's 1,797 real handwritten digits, grey, smoothly resized from 8x8 (bicubic).

    Bicubic rather than bilinear: averaged back to 8x8 it is off by 0.9 of 16 levels instead of 1.5,
    and a classifier of the originals judges it as it judges them.

    They are never mirrored: a mirrored digit is no digit.

    Args:
        split_seed: seed of the train/test split, fixed apart from the training seed so that no
            run ever trains on another run's test images.
        options: see ``ImageData``.
    """

    def __init__(
        self,
        name: str = "digits",
        image_size: int = 16,
        channels: int = 1,
        num_classes: int = 10,
        split_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(name, image_size, channels, num_classes, **options)
        self.split_seed = split_seed

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Both splits from scikit-learn's own files."""
        train, test = originals(self.split_seed)
        return self._image_set(train), self._image_set(test)

    def _image_set(self, split: Originals) -> ImageSet:
        grey = np.rint(split.images * (255 / 16)).astype(np.uint8)
        images = [pixels(Image.fromarray(row), self.image_size, self.channels) for row in grey]
        captions = [f"a handwritten {NAMES[label]}" for label in split.labels]
        return ImageSet(torch.stack(images), torch.from_numpy(split.labels), captions, NAMES)
