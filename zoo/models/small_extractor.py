"""A compact classifier whose features stand in for Inception's on small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.augmentation import jittered
from zoo.recipe import Recipe
from zoo.records import Batch
from zoo.trainable import Trainable

_GROUPS = 8


class SmallExtractor(Trainable):
    """Images to 64 features and class logits: the network behind FID with ``small``.

    It is trained with augmentation, so that its features of training and of held-out images agree:
    otherwise the distance of perfect images to the training set would measure its overfitting.
    It normalises by groups, not by batches: an image's features depend on that image alone.

    Args:
        image_shape: (C, H, W) of every image.
        num_classes: number of labels.
        recipe: how to train.
        channels: feature maps after each halving; the first have full resolution.
        features: length of the pooled feature.
        label_smoothing: share of the target given to all classes alike.

    Raises:
        ValueError: an argument is impossible.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int | None,
        recipe: Recipe | None = None,
        channels: Sequence[int] = (32, 48, 64),
        features: int = 64,
        label_smoothing: float = 0.1,
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
        self.label_smoothing = label_smoothing
        layers: list[nn.Module] = [nn.Conv2d(self.image_shape[0], channels[0], 3, padding=1)]
        for index, width in enumerate(channels):
            if index:
                layers.append(nn.Conv2d(channels[index - 1], width, 3, stride=2, padding=1))
            layers.append(_Block(width))
        layers += [nn.GroupNorm(_GROUPS, channels[-1]), nn.SiLU()]
        layers += [nn.Conv2d(channels[-1], features, 1), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(features, num_classes)

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

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Cross-entropy of the labels of augmented images."""
        images, labels = _labelled(batch)
        logits = self(jittered(images, self.draw(len(images), "augmentation")))["logits"]
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
        self.log("train/loss", loss, batch_size=len(images))
        return {"loss": loss}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs the share of right answers."""
        images, labels = _labelled(batch)
        right = (self(images)["logits"].argmax(dim=1) == labels).float().mean()
        self.log("val/accuracy", right, batch_size=len(images), prog_bar=True)


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


def _labelled(batch: Batch) -> tuple[Tensor, Tensor]:
    if batch.images is None or not isinstance(batch.condition, Tensor):
        raise ValueError("a small extractor trains on images with labels: set data.condition=label")
    return batch.images, batch.condition
