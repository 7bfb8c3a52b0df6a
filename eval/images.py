"""Where images to be measured come from: iterables of uint8 batches with what they should show."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.guidance import num_classes as labels_of
from zoo.progress import sampling
from zoo.records import Batch

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".tif", ".tiff"}


class Images(NamedTuple):
    """A batch of images.

    Attributes:
        images: (B, C, H, W) uint8 on the CPU.
        labels: (B,) int64, or None.
        captions: B sentences, or None.
        seconds: that making them took; 0 for images that were there.
    """

    images: Tensor
    labels: Tensor | None = None
    captions: list[str] | None = None
    seconds: float = 0.0

    def rows(self, start: int, stop: int) -> Images:
        """The images from ``start`` to ``stop``."""
        return Images(
            self.images[start:stop],
            None if self.labels is None else self.labels[start:stop],
            None if self.captions is None else self.captions[start:stop],
        )


def as_batch(images: Images) -> Batch:
    """A batch as metrics take it: the condition is the captions."""
    return Batch(images.images, images.captions)


class Wanted(NamedTuple):
    """What images are generated for: image i's condition and caption depend on i alone.

    Attributes:
        protocol: in words.
        condition: labels (N,), N captions, or None for an unconditional model.
        captions: what the images should show, or None where that is not asked for.
    """

    protocol: str
    condition: Any
    captions: list[str] | None

    def batch(self, images: Tensor, first: int) -> Images:
        """Images ``first`` and following with what they should show."""
        rows = slice(first, first + len(images))
        labels = self.condition if isinstance(self.condition, Tensor) else None
        return Images(
            images,
            None if labels is None else labels[rows],
            None if self.captions is None else self.captions[rows],
        )


def wanted(module: Any, data: Any, num_images: int, guidance: Any = None) -> Wanted:
    """Balanced classes for a class-conditional model, held-out captions for a text model.

    A guidance that reads labels makes an unconditional model a class-conditional one.

    Image i has class i modulo the number of classes, so that every run of as many images as there
    are classes is balanced, whatever set it is put into.
    """
    num_classes = getattr(module.conditioner, "num_classes", None)
    if not num_classes and _unconditional(module):  # a classifier may know what the model does not
        num_classes = labels_of(guidance)
    if num_classes:
        labels = torch.arange(num_images) % num_classes
        sentences = class_captions(data, num_classes)
        captions = [sentences[label] for label in labels.tolist()] if sentences else None
        return Wanted(f"balanced: image i has class i mod {num_classes}", labels, captions)
    if _unconditional(module):
        return Wanted("unconditional", None, None)
    if data.test.captions is None:
        raise ValueError(
            f"this model is conditioned on text, but {data.name} has no captions: use data with "
            "captions, such as data=parquet with a caption column"
        )
    captions = [data.test.captions[i % len(data.test)] for i in range(num_images)]
    return Wanted("image i has the caption of held-out image i", captions, captions)


def _unconditional(module: Any) -> bool:
    return type(module.conditioner).__name__ == "Unconditional"


def class_captions(data: Any, num_classes: int) -> list[str] | None:
    """Each class's most frequent caption in the training split, or None where there is none."""
    split = data.train
    if split.labels is None or split.captions is None:
        return None
    counts = [Counter[str]() for _ in range(num_classes)]
    for label, caption in zip(split.labels.tolist(), split.captions, strict=True):
        if label < num_classes:
            counts[label][caption] += 1
    if not all(counts):
        return None
    return [count.most_common(1)[0][0] for count in counts]


def generated(
    module: Any,
    want: Wanted,
    num_images: int,
    seed: int = 0,
    batch_size: int = 256,
    sampler: Any = None,
    guidance: Any = None,
    first: int = 0,
) -> Iterator[Images]:
    """Images of a model from index ``first`` on; image i depends on ``seed`` and i alone."""
    count = num_images - first
    condition = None if want.condition is None else want.condition[first:num_images]
    with sampling(module, count, batch_size, sampler) as watched:
        made = module.generate_batches(
            count,
            condition,
            watched,
            guidance,
            seed,
            batch_size,
            indices=range(first, num_images),
        )
        while True:
            started = time.perf_counter()
            images = next(made, None)
            if images is None:
                return
            yield want.batch(images, first)._replace(seconds=time.perf_counter() - started)
            first += len(images)


def from_dataset(split: Any, batch_size: int = 256) -> Iterator[Images]:
    """A split of a data set, in its own order."""
    for first in range(0, len(split), batch_size):
        indices = range(first, min(first + batch_size, len(split)))
        yield Images(
            split.gather(torch.tensor(indices)),
            None if split.labels is None else split.labels[first : indices.stop],
            None if split.captions is None else split.captions[first : indices.stop],
        )


class StoredImages:
    """Images that were made elsewhere, in memory: a folder of files or an ``.npz``.

    Args:
        images: (N, C, H, W) uint8.
        name: where they come from.
        labels: (N,) int64, or None.
    """

    captions = None

    def __init__(self, images: Tensor, name: str, labels: Tensor | None = None) -> None:
        self.images, self.name, self.labels = images, name, labels

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, indices: Tensor) -> Tensor:
        """The images at ``indices``."""
        return self.images[indices]


def stored(path: str | Path, shape: Sequence[int]) -> StoredImages:
    """Reads a folder of image files, or an ``.npz`` in the layout of OpenAI's evaluator.

    That is ``arr_0``: (N, H, W, C) uint8, and labels in ``arr_1`` or ``label`` where it has any.
    Images are not resized: a metric depends on how that is done.

    Args:
        path: folder or file.
        shape: (C, H, W) of the data that they are compared with.

    Raises:
        ValueError: nothing to read there, a broken file, or another shape; the file is named.
    """
    path = Path(path)
    if path.is_dir():
        found = _from_folder(path, shape[0])
    elif path.suffix == ".npz" and path.is_file():
        found = _from_npz(path)
    else:
        raise ValueError(f"images={path}: expected a folder of images or an .npz file")
    if list(found.images.shape[1:]) != list(shape):
        raise ValueError(
            f"{path}: images are {tuple(found.images.shape[1:])}, the data are {tuple(shape)}; "
            "choose data of that size, or resize them beforehand"
        )
    return found


def _from_folder(path: Path, channels: int) -> StoredImages:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES)
    if not files:
        raise ValueError(f"{path}: no images in this folder ({', '.join(sorted(_SUFFIXES))})")
    images: list[Tensor] = []
    for file in files:
        try:
            picture = Image.open(file).convert("L" if channels == 1 else "RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise ValueError(f"{file}: not a readable image: {error}") from error
        image = torch.from_numpy(np.array(picture)).reshape(*picture.size[::-1], channels)
        if images and image.shape != images[0].shape:
            raise ValueError(
                f"{file} is {picture.width}x{picture.height}, but {files[0]} is "
                f"{images[0].shape[1]}x{images[0].shape[0]}: images must have one size"
            )
        images.append(image)
    return StoredImages(torch.stack(images).permute(0, 3, 1, 2).contiguous(), str(path))


def _from_npz(path: Path) -> StoredImages:
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        if "arr_0" not in arrays:
            raise ValueError(f"{path}: no array 'arr_0'; it has {', '.join(arrays.files)}")
        images = arrays["arr_0"]
        named = next((name for name in ("arr_1", "label") if name in arrays), None)
        labels = None if named is None else torch.from_numpy(arrays[named]).long()
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(
            f"{path}: 'arr_0' is {images.dtype} {images.shape}, not uint8 (N, H, W, C)"
        )
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return StoredImages(planes, str(path), labels)
