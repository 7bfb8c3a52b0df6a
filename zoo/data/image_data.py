"""The base of every data set: two splits, a deterministic stream, a fingerprint."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lightning import LightningDataModule

from zoo.data.image_set import ImageSet, joined
from zoo.data.stream import EvalBatches, TrainStream
from zoo.records import Moments
from zoo.trainable import processed_batches

CONDITIONS = ("label", "caption", "none")


class ImageData(LightningDataModule, ABC):
    """A data set of images of one size, with a train and a test split.

    A source is a subclass that says where images come from: it implements ``load``.

    Args:
        name: what results call this data set.
        image_size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        num_classes: labels lie below it; None takes it from the data, or there are no labels.
        batch_size: images per step of all processes together.
        seed: seed of the order and the flips, not of the train/test split.
        condition: what comes with the images in a batch: "label", "caption" or "none".
        flip: mirror training images with probability 1/2.
        steps_per_epoch: steps that Lightning calls an epoch; by default as many whole batches as
            there are in the train split.

    Raises:
        ValueError: an argument is impossible.
    """

    train: ImageSet
    test: ImageSet
    uncut: ImageSet | None = None
    """The train split at a larger size, where training looks at random squares of it."""
    moments: Moments | None = None
    """What batches hold in place of the images, for models whose first stage is frozen."""

    def __init__(
        self,
        name: str,
        image_size: int,
        channels: int = 3,
        num_classes: int | None = None,
        batch_size: int = 128,
        seed: int = 0,
        condition: str = "label",
        flip: bool = False,
        steps_per_epoch: int | None = None,
    ) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise ValueError(f"channels is 1 (grey) or 3 (RGB), got {channels}")
        if image_size < 1 or batch_size < 1:
            raise ValueError(
                f"image_size and batch_size are positive, got {image_size}, {batch_size}"
            )
        if condition not in CONDITIONS:
            raise ValueError(f"condition is one of {', '.join(CONDITIONS)}, got {condition!r}")
        self.name: str = name
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.seed, self.condition, self.flip = seed, condition, flip

    @abstractmethod
    def load(self) -> tuple[ImageSet, ImageSet]:
        """Reads the train and the test split."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self.channels, self.image_size, self.image_size

    @property
    def class_names(self) -> tuple[str, ...]:
        """One word per class; empty where there are no labels."""
        return self.train.class_names

    @property
    def fingerprint(self) -> str:
        """sha256 of both splits' content, or of their shards, with its kind before it."""
        return joined([self.train.fingerprint, self.test.fingerprint])

    @property
    def splits(self) -> dict[str, ImageSet]:
        """The loaded splits by name."""
        return {"train": self.train, "test": self.test}

    @property
    def num_skipped(self) -> int:
        """Broken images that were left out of both splits."""
        return self.train.num_skipped + self.test.num_skipped

    def setup(self, stage: str | None = None) -> None:
        """Loads both splits, once, whatever the stage.

        Raises:
            ValueError: the data do not fit the arguments.
        """
        if hasattr(self, "train"):
            return
        train, test = self.load()
        self._check(train)
        self._check(test)
        if train.labels is not None and self.num_classes is None:
            self.num_classes = len(train.class_names)
        self.train, self.test = train, test

    def _check(self, images: ImageSet) -> None:
        if images.shape != self.shape:
            raise ValueError(f"{self.name}: images are {images.shape}, expected {self.shape}")
        possible = ["none"]
        possible += ["label"] if images.labels is not None else []
        possible += ["caption"] if images.captions is not None else []
        if self.condition not in possible:
            raise ValueError(
                f"data.condition={self.condition} needs {self.condition}s, which {self.name} has "
                f"not; possible here: {', '.join(possible)}"
            )
        if images.labels is not None and self.num_classes is not None:
            highest = int(images.labels.max())
            if highest >= self.num_classes:
                raise ValueError(
                    f"{self.name}: num_classes={self.num_classes}, but labels reach {highest}; "
                    f"set data.num_classes={highest + 1}"
                )

    def train_dataloader(self) -> TrainStream:
        """The training stream; resumed exactly where an interrupted run stopped."""
        return TrainStream(
            self.train if self.uncut is None else self.uncut,
            self.condition,
            self.batch_size,
            self.seed,
            self.flip,
            *self._process(),
            length=self.steps_per_epoch,
            start_step=lambda: 0 if self.trainer is None else processed_batches(self.trainer),
            crop=None if self.uncut is None else self.image_size,
            moments=self.moments,
        )

    def val_dataloader(self) -> EvalBatches:
        """The test split, unflipped and in its own order."""
        return EvalBatches(
            self.test, self.condition, self.batch_size, *self._process(), self.moments
        )

    def test_dataloader(self) -> EvalBatches:
        """The test split, as in validation."""
        return self.val_dataloader()

    def _process(self) -> tuple[int, int]:
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
