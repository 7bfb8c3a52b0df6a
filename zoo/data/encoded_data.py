"""The base of sources of encoded images: the split, the decoding, the captions of classes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from zoo.data.decode import ImageDecoder
from zoo.data.image_data import ImageData
from zoo.data.image_set import ImageSet
from zoo.data.rows import Rows, classes, split


class EncodedData(ImageData):
    """A data set of encoded images (PNG, JPEG ...), from files or from the ``datasets`` library.

    ``zoo.data.picture`` says how files become pixels, ``zoo.data.pixels`` how these get their size.

    Args:
        name: what results call this data set.
        image_size: images are resized and cropped to this height and width.
        channels: 1 (colours become grey) or 3 (RGB).
        num_classes: labels lie below it; None takes it from the data.
        class_names: one word per label; by default the words or numbers that occur.
        caption_of_class: makes captions from class names, "a photo of a {}"; None where captions
            come from the data.
        test_fraction: the share held out where the source has one split only.
        split_seed: seed of that split, fixed apart from the training seed.
        on_broken: "stop" or "skip", see ``ImageDecoder``.
        memory_limit_gb: see ``ImageDecoder``.
        crop_from: training looks at random squares of ``image_size``, cut out of centre squares of
            this larger side; all other uses of the images are as without it.
        options: see ``ImageData``.

    Raises:
        ValueError: ``crop_from`` is smaller than the images.
    """

    def __init__(
        self,
        name: str,
        image_size: int,
        channels: int = 3,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        caption_of_class: str | None = None,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        on_broken: str = "stop",
        memory_limit_gb: float = 4.0,
        crop_from: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, image_size, channels, num_classes, **options)
        self.names = tuple(class_names or ())
        self.caption_of_class = caption_of_class
        self.test_fraction, self.split_seed = test_fraction, split_seed
        self.decoder = ImageDecoder(image_size, channels, on_broken, memory_limit_gb)
        if crop_from is not None and crop_from < image_size:
            raise ValueError(f"crop_from is at least image_size={image_size}, got {crop_from}")
        self.crop_from = crop_from

    @abstractmethod
    def rows(self) -> tuple[Rows, Rows | None]:
        """The train and the test split; None for the latter where the source has one split only."""

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Reads, splits where needed, and decodes.

        Raises:
            ValueError: something is missing, broken or inconsistent; the message says what.
        """
        train, test = self.rows()
        if test is None:
            train, test = split(train, self.test_fraction, self.split_seed)
        names: tuple[str, ...] = ()
        if (train.labels is None) != (test.labels is None):
            raise ValueError(f"{self.name}: one of train and test has labels, the other has not")
        if train.labels is not None and test.labels is not None:
            names = classes([*train.labels, *test.labels], self.names)
        if self.crop_from is not None:
            limit = self.decoder.memory_limit / 1e9
            larger = ImageDecoder(self.crop_from, self.channels, self.decoder.on_broken, limit)
            self.uncut = self._image_set(train, names, "train", larger)
        return self._image_set(train, names, "train"), self._image_set(test, names, "test")

    def _image_set(
        self, rows: Rows, names: tuple[str, ...], which: str, decoder: ImageDecoder | None = None
    ) -> ImageSet:
        if rows.captions is None and self.caption_of_class is not None and rows.labels is not None:
            words = [label if isinstance(label, str) else names[label] for label in rows.labels]
            rows = replace(rows, captions=[self.caption(word) for word in words])
        return (decoder or self.decoder).image_set(rows, names, f"{self.name}/{which}")

    def caption(self, word: str) -> str:
        """The caption of an image of this class, "a" before a vowel read as "an".

        >>> Folder = type("Folder", (EncodedData,), {"rows": None})
        >>> Folder("pets", 32, caption_of_class="a photo of a {}").caption("owl")
        'a photo of an owl'
        """
        assert self.caption_of_class is not None
        text = self.caption_of_class.format(word)
        return text.replace(f" a {word}", f" an {word}") if word[:1].lower() in "aeiou" else text
