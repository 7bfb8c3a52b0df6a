"""A compact classifier whose features stand in for Inception's on small images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data.augmentation import moved, noisy
from zoo.recipe import Recipe
from zoo.records import Batch
from zoo.trainable import Trainable

_GROUPS = 8
_READ_BACK = 8  # pixels a side of the thumbnail that the features have to hold


class SmallExtractor(Trainable):
    """Images to 64 features and class logits: the network behind FID with ``small``.

    From its features the label *and* a thumbnail of the image can be read linearly. A classifier
    alone lets its features collapse onto one point per class: their distance then counts class
    shares, and falls where images are blurred a little. It is trained with augmentation, so that
    features of training and of held-out images agree: otherwise the distance of perfect images to
    the training set would measure overfitting. It normalises by groups, not by batches: an
    image's features depend on that image alone.

    Args:
        image_shape: (C, H, W) of every image.
        num_classes: number of labels.
        recipe: how to train.
        channels: feature maps after each halving; the first have full resolution.
        features: length of the pooled feature.
        thumbnail_weight: weight of the thumbnail's mean squared error beside the cross-entropy.

    Raises:
        ValueError: an argument is impossible.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int | None,
        recipe: Recipe | None = None,
        channels: Sequence[int] = (16, 32, 64),
        features: int = 64,
        thumbnail_weight: float = 10.0,
    ) -> None:
        super().__init__(recipe)
        if num_classes is None or num_classes < 2:
            raise ValueError(
                f"a small extractor learns from labels: num_classes is at least 2, got "
                f"{num_classes}; set data.num_classes"
            )
        if any(width % _GROUPS for width in channels):
            raise ValueError(f"channels are multiples of {_GROUPS}, got {list(channels)}")
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.channels = list(channels)
        self.features = features
        self.thumbnail_weight = thumbnail_weight
        layers: list[nn.Module] = [nn.Conv2d(self.image_shape[0], channels[0], 3, padding=1)]
        for index, width in enumerate(channels):
            if index:
                layers.append(nn.Conv2d(channels[index - 1], width, 3, stride=2, padding=1))
            layers.append(_Block(width))
        layers += [nn.GroupNorm(_GROUPS, channels[-1]), nn.SiLU()]
        layers += [nn.Conv2d(channels[-1], features, 1), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(features, num_classes)
        depth, height, width = self.image_shape
        self.thumbnail_size = min(_READ_BACK, height), min(_READ_BACK, width)
        self.thumbnail = nn.Linear(
            features, depth * self.thumbnail_size[0] * self.thumbnail_size[1]
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features of images (B, C, H, W) in [-1, 1].

        Returns:
            ``pool`` (B, ``features``), ``logits`` (B, ``num_classes``).

        Raises:
            ValueError: the images are not of ``image_shape``.
        """
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"this extractor was made for images {self.image_shape}, got "
                f"{tuple(images.shape[1:])}"
            )
        pool = self.body(images).mean(dim=(2, 3))
        return {"pool": pool, "logits": self.head(pool)}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Cross-entropy of the labels and error of the thumbnails of augmented images."""
        images, labels = _images_labels(batch)
        draw = self.draw(len(images), "augmentation")
        images = moved(images, draw)
        features = self(noisy(images, draw))
        of_labels = F.cross_entropy(features["logits"].float(), labels)
        thumbnails = F.adaptive_avg_pool2d(images, self.thumbnail_size).flatten(1)
        of_thumbnails = F.mse_loss(self.thumbnail(features["pool"]).float(), thumbnails)
        loss = of_labels + self.thumbnail_weight * of_thumbnails
        figures = {"cross_entropy": of_labels, "thumbnail_error": of_thumbnails}
        return {"loss": loss, "figures": {name: v.detach() for name, v in figures.items()}}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs the share of right answers."""
        images, labels = _images_labels(batch)
        right = (self(images)["logits"].argmax(dim=1) == labels).float().mean()
        self.log_validation({"val/accuracy": right}, len(images))


class _Block(nn.Module):
    """Two convolutions around which the input is carried (pre-activation, arXiv:1603.05027)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _images_labels(batch: Batch) -> tuple[Tensor, Tensor]:
    if batch.images is None or not isinstance(batch.condition, Tensor):
        raise ValueError("a small extractor trains on images with labels: set data.condition=label")
    return batch.images, batch.condition
