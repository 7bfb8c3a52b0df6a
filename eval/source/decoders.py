"""Decoders of stored images at their own size, by the rule of ``zoo.data.picture``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.data.decode import THREADS, OnDemand, read_row
from zoo.data.image_set import ImageSet
from zoo.data.picture import header, picture, plain
from zoo.data.pixels import planes
from zoo.data.rows import Rows
from zoo.system.progress import Meter

_MOST_BYTES = 10**9  # of decoded images that are held, twice while they are put together
_MODES = ("", "L", "LA", "RGB", "RGBA")  # by the number of channels
LAYOUT = (
    "uint8 (N, H, W, C), or uint16 or bool, which are scaled; C is 1 (grey), 3 (RGB), or 2 or 4 "
    "with alpha"
)


def decoded(rows: Rows, channels: int | None = None) -> ImageSet:
    """The images of encoded rows, at their stored size, which must be the same for all.

    Every file is read and decoded once, unless the images are too many to hold: then their headers
    are read now, and each image again whenever it is used.

    Args:
        rows: of encoded images.
        channels: 1 or 3; when None, 3 where any image has colour.

    Raises:
        ValueError: an image cannot be read, has no known range or colours, has another size than
            the first, or is in colour where grey images are compared; its file is named.
    """
    width, height = read_row(rows, 0, header).size
    if len(rows) * 3 * width * height > _MOST_BYTES:
        return OnDemand(AsStored(rows, channels), rows)
    with ThreadPoolExecutor(THREADS) as pool, Meter(len(rows), "decoding", "images") as meter:
        images: list[Tensor] = []
        for image in pool.map(lambda i: read_row(rows, i, _pixels), range(len(rows))):
            _check_size(rows, len(images), (image.shape[2], image.shape[1]), (width, height))
            images.append(image)
            meter.advance()
    most = channels or max(map(len, images))
    together = torch.stack([_with_channels(x, most, rows.where(i)) for i, x in enumerate(images)])
    labels = None if rows.labels is None else torch.tensor(list(rows.labels), dtype=torch.int64)
    return ImageSet(together, labels, rows.captions)


def _pixels(encoded: bytes) -> Tensor:
    """(1 or 3, H, W) uint8 of a file."""
    return planes(picture(encoded))


def _check_size(rows: Rows, index: int, size: tuple[int, int], first: tuple[int, int]) -> None:
    if size != first:
        raise ValueError(
            f"{rows.where(index)} is {size[0]}x{size[1]}, but {rows.where(0)} is "
            f"{first[0]}x{first[1]}: images must have one size; resize them all in the same way "
            "beforehand"
        )


class AsStored:
    """Decodes rows at their stored size, which must be the same for all.

    Args:
        rows: of encoded images, whose headers are read at once.
        channels: as in ``decoded``.

    Raises:
        ValueError: see ``decoded``.
    """

    def __init__(self, rows: Rows, channels: int | None = None) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            headers = list(pool.map(lambda i: read_row(rows, i, header), range(len(rows))))
        width, height = headers[0].size
        for index, (size, _) in enumerate(headers):
            _check_size(rows, index, size, (width, height))
        self.shape = (channels or max(each.channels for each in headers), height, width)

    def decode(self, rows: Rows, index: int) -> Tensor:
        """Row ``index`` as (C, H, W) uint8.

        Raises:
            ValueError: it is broken, was changed since its header was read, or is in colour where
                grey images are compared.
        """
        image = read_row(rows, index, _pixels)
        if image.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"{rows.where(index)} is {image.shape[2]}x{image.shape[1]}, but its header said "
                f"{self.shape[2]}x{self.shape[1]}: leave the images alone while they are measured"
            )
        return _with_channels(image, self.shape[0], rows.where(index))


class OfArray:
    """Makes images of an array whose samples are scaled, or lie on white by their alpha.

    Args:
        array: (N, H, W, 1 to 4) uint8, uint16 or bool.
        channels: 1 or 3; as many as the array has, without alpha, when None.
    """

    def __init__(self, array: np.ndarray, channels: int | None = None) -> None:
        self._array = array
        _, height, width, bands = array.shape
        self.shape = (channels or (1 if bands < 3 else 3), height, width)

    def decode(self, rows: Rows, index: int) -> Tensor:
        """Image ``index`` as (C, H, W) uint8.

        Raises:
            ValueError: it is in colour where grey images are compared.
        """
        samples = np.moveaxis(self._array[index], -1, 0)
        bands = [plain(Image.fromarray(np.ascontiguousarray(band))) for band in samples]
        image = planes(plain(Image.merge(_MODES[len(bands)], bands)))
        return _with_channels(image, self.shape[0], rows.where(index))


def of_array(
    array: np.ndarray,
    labels: Tensor | None,
    where: str,
    channels: int | None = None,
    captions: list[str] | None = None,
) -> ImageSet:
    """A set of the images in an array, which stays where it is if it needs no change.

    Args:
        array: (N, H, W, C), see ``LAYOUT``.
        labels: (N,) int64, or None.
        where: names the array in errors.
        channels: 1 or 3; as many as the array has, without alpha, when None.
        captions: N texts, or None.

    Raises:
        ValueError: the array has another layout or samples of no known range, or there are not as
            many labels or captions.
    """
    problem = _problem(array)
    if problem:
        raise ValueError(f"{where} is {array.dtype} {array.shape}: {problem}; expected {LAYOUT}")
    for what, values in (("labels", labels), ("captions", captions)):
        if values is not None and len(values) != len(array):
            raise ValueError(f"{where}: {len(array)} images, but {len(values)} {what}")
    if array.dtype == np.uint8 and array.shape[-1] in ((1, 3) if channels is None else (channels,)):
        return ImageSet(torch.from_numpy(array).permute(0, 3, 1, 2), labels, captions)
    rows = Rows(
        len(array),
        lambda index: array[index].tobytes(),
        lambda index: f"{where}[{index}]",
        None if labels is None else labels.tolist(),
        captions,
    )
    return OnDemand(OfArray(array, channels), rows)


def _with_channels(image: Tensor, channels: int, where: str) -> Tensor:
    """A decoded image (1 or 3, H, W) with as many channels as its set has."""
    if len(image) > channels:
        if (image != image[:1]).any():
            raise ValueError(
                f"{where} is in colour, but is compared with grey images: choose data with 3 "
                "channels, or convert the images beforehand"
            )
        return image[:1]
    return image.expand(channels, -1, -1)


def _problem(array: np.ndarray) -> str | None:
    """Why an array is no set of images; None where it is one."""
    if array.ndim != 4 or not 1 <= array.shape[-1] <= 4:
        first = array.ndim == 4 and 1 <= array.shape[1] <= 4
        return "channels come last: transpose(0, 2, 3, 1)" if first else "not (N, H, W, C)"
    if 0 in array.shape:
        return "there are no images in it"
    if array.dtype.kind == "f":
        return "floats have no known range: scale them to 0 to 255, round, and save uint8"
    if array.dtype.name not in ("uint8", "uint16", "bool"):  # in any order of bytes
        return "its range is not known: save uint8"
    return None
