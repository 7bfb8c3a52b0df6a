"""The images of a report: PNG grids, closest pairs, the comparison's figure."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zoo.system.picture import image_grid, png
from zoo.system.text import one_line


def tile(images: Tensor, columns: int, gap: int = 1) -> Tensor:
    """Lays uint8 images (N, 1, 3 or 4, H, W) out in rows, with a transparent gap between them.

    Returns:
        (4, H', W') uint8, RGBA.
    """
    return image_grid(images, columns, smallest=0, gap=gap, transparent=True)


def pair_sheets(pairs: Mapping[str, Tensor], columns: int = 4) -> dict[str, bytes]:
    """A PNG per model of its closest pairs: generated at the left, training image at the right.

    Args:
        pairs: name to (K, 2, C, H, W) uint8, closest first; names without a pair are left out.
        columns: pairs per row.
    """
    return {name: png(_sheet(own, columns)) for name, own in pairs.items() if len(own)}


def _sheet(pairs: Tensor, columns: int) -> Tensor:
    touching = torch.stack([tile(pair, columns=2) for pair in pairs])
    return tile(touching, columns, gap=max(4, touching.shape[3] // 12))


def fitted(data: bytes, width: int) -> bytes:
    """The same PNG, at most ``width`` pixels wide.

    A page with every grid of 256 x 256 images in full would have tens of megabytes.
    """
    if size(data)[0] <= width:
        return data
    image = Image.open(io.BytesIO(data))
    height = round(image.height * width / image.width)
    buffer = io.BytesIO()
    image.resize((width, height), Image.Resampling.BOX).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG, from its header."""
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


PLAIN_TEXTS: Any = {"text.parse_math": False, "text.usetex": False}
"""Settings of matplotlib in which a name with a $ is no formula."""


def side_by_side(sheets: dict[str, bytes], subtitles: dict[str, str]) -> bytes:
    """One PNG with every model's sample grid under its name."""
    import matplotlib

    with matplotlib.rc_context(PLAIN_TEXTS):
        return _side_by_side(sheets, subtitles)


def _side_by_side(sheets: dict[str, bytes], subtitles: dict[str, str]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    images = {name: Image.open(io.BytesIO(data)) for name, data in sheets.items()}
    tallest = max(image.height / image.width for image in images.values())
    figure = Figure(figsize=(3.1 * len(images), 3.1 * tallest + 0.75), dpi=160, facecolor="white")
    FigureCanvasAgg(figure)  # without pyplot, so that no GUI backend or global state is used
    for index, (name, image) in enumerate(images.items()):
        axes = figure.add_subplot(1, len(images), index + 1)
        axes.imshow(image, interpolation="nearest")
        title = one_line(name), one_line(subtitles.get(name, ""))
        axes.set_title("\n".join(title).rstrip(), fontsize=10)
        axes.set_axis_off()
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.1)
    return buffer.getvalue()
