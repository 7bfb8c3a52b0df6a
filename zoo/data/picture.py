"""The one way from a file to pixels, for data sets and evaluations alike: upright, opaque, 8 bits.

- The camera's orientation (EXIF) is applied before anything is measured or compared.
- Whatever kind of transparency there is (an alpha channel, a palette with alpha, a transparent
  colour), it lies on white.
- 16 bits, and the 12 of a TIFF, become 8: their highest. Fewer than 8 bits span black to white.
- What has no known range (floats, signed and 32-bit integers) is refused, never clipped.
- Of several frames or pages the first counts. Colour profiles and gamma are ignored; CMYK is
  converted as Pillow does it.
- Grey files give one channel, all others three; a palette counts as colour.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

DECODING = (
    "v1: 8 bits (the highest of 16), EXIF orientation applied, transparency on white, first frame, "
    "colour profiles ignored"
)
"""The rule in words, for protocols and for the keys of caches: another rule is another text."""

_GREY = ("1", "L", "LA", "I")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_DEEP_FORMATS = (None, "PNG", "TIFF", "JPEG2000")  # whose 16 bits span black to white
_PNG_EXIF = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _SIGNED = 258, 262, 339, 2  # TIFF's tags
# not ImageOps.exif_transpose, which writes the rest of EXIF anew and fails where that is damaged
_TURNS: dict[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnsuitableImage(ValueError):
    """A sound image whose pixels have no known range or colours."""


class Header(NamedTuple):
    """What a file says of its picture before it is decoded.

    Attributes:
        size: width and height in pixels, of the upright picture.
        channels: 1 (grey) or 3.
    """

    size: tuple[int, int]
    channels: int


def header(encoded: bytes) -> Header:
    """Reads a file's header.

    Raises:
        UnsuitableImage: see ``picture``.
        Exception: it is broken; Pillow raises any.
    """
    with _open(encoded) as image:
        width, height = image.size
        size = (height, width) if _lies_on_its_side(image, encoded) else (width, height)
        return Header(size, 1 if _is_grey(image) else 3)


def picture(encoded: bytes) -> Image.Image:
    """Decodes a file (PNG, JPEG ...) by the rule of this module.

    Returns:
        a picture of mode L or RGB.

    Raises:
        UnsuitableImage: its pixels have no known range or colours; the mode is named.
        Exception: it is broken; Pillow raises any.
    """
    with _open(encoded) as image:
        mode = "L" if _is_grey(image) else "RGB"
        image.load()
        turn = _TURNS.get(_orientation(image))
        upright = plain(image).convert(mode)
        return upright if turn is None else upright.transpose(turn)


def plain(image: Image.Image) -> Image.Image:
    """A picture of any mode as 8 bits on white; it is not turned.

    Returns:
        a picture of mode L or RGB.

    Raises:
        UnsuitableImage: see ``picture``.
    """
    bits = _bits(image)
    if bits > 8:
        image = _highest_bits(image, bits)
    mode = "L" if image.mode in _GREY else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


@contextmanager
def _open(encoded: bytes) -> Iterator[Image.Image]:
    if not encoded:
        raise ValueError("the file is empty")
    try:
        image = Image.open(io.BytesIO(encoded))
    except UnidentifiedImageError:  # whose message names a buffer in memory
        raise ValueError("no image of a known format, or its header is damaged") from None
    with image:
        _bits(image)
        _set_transparent_colour(image)
        yield image


def _is_grey(image: Image.Image) -> bool:
    """Before it is loaded: Pillow reads grey PNGs of 16 bits with alpha as RGBA."""
    return image.mode in _GREY or image.mode.startswith("I;16") or _raw_mode(image) == "LA;16B"


def _lies_on_its_side(image: Image.Image, encoded: bytes) -> bool:
    if image.format == "TIFF":  # Pillow gives the size of the upright picture
        return False
    if image.format == "PNG" and not any(mark in encoded for mark in _PNG_EXIF):
        return False  # Pillow would decode all pixels to look for a block behind them
    return _orientation(image) in (5, 6, 7, 8)


def _orientation(image: Image.Image) -> Any:
    """What EXIF or XMP says; None where it says nothing or cannot be read, as for viewers."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow raises anything, struct.error and SyntaxError too
        return None


def _bits(image: Image.Image) -> int:
    """How many bits a sample has: 8 stands for fewer, too."""
    mode, kind = image.mode, image.format
    signed = _tag(image, _SAMPLE_FORMAT) == _SIGNED
    # Pillow spreads a PGM's levels over 16 bits of an I
    deep = kind in _DEEP_FORMATS if mode.startswith("I;16") else (mode, kind) == ("I", "PPM")
    if deep and not signed:
        return _tag(image, _BITS) or 16
    if mode[0] in "IF" or signed:
        samples = "floats" if mode == "F" else "signed or 32-bit integers"
        raise UnsuitableImage(
            f"a {kind or 'picture'} of mode {mode} has {samples}, whose range is not known: scale "
            "them to black and white yourself and save 8 or 16 bits a channel"
        )
    if mode not in _GREY + _COLOUR:
        raise UnsuitableImage(
            f"a {kind or 'picture'} of mode {mode} is neither grey nor RGB: save it as one of them"
        )
    return 8


def _set_transparent_colour(image: Image.Image) -> None:
    """Pillow spreads a PNG's pixels of 2 or 4 bits over 8, but not its transparent colour."""
    raw, colour = _raw_mode(image), image.info.get("transparency")
    highest = {"L;2": 3, "L;4": 15}.get(raw)
    if highest is not None and colour is not None:
        image.info["transparency"] = colour * (255 // highest)
    elif raw == "RGB;16B" and colour is not None:
        raise UnsuitableImage(
            "a PNG of mode RGB has 16 bits a channel and a transparent colour, of which 8 bits "
            "cannot tell neighbours: save it with 8 bits or with an alpha channel"
        )


def _highest_bits(image: Image.Image, bits: int) -> Image.Image:
    """The highest 8 of ``bits``, as L, or as LA where a colour is transparent."""
    array = np.asarray(image).astype(np.int32)
    if _tag(image, _PHOTOMETRIC) == 0:  # 0 is white, which Pillow minds with 8 bits alone
        array = (1 << bits) - 1 - array
    grey = Image.fromarray((array >> (bits - 8)).astype(np.uint8))
    colour = image.info.get("transparency")
    if colour is None:
        return grey
    return Image.merge("LA", [grey, Image.fromarray((array != colour).astype(np.uint8) * 255)])


def _raw_mode(image: Image.Image) -> str:
    """How a PNG's pixels are stored; "" of other formats, and once it is loaded."""
    tiles = getattr(image, "tile", None) if image.format == "PNG" else None
    return str(tiles[0][3]) if tiles else ""


def _tag(image: Image.Image, number: int) -> int | None:
    """The first value of a TIFF's tag, or None."""
    value = getattr(image, "tag_v2", {}).get(number) if image.format == "TIFF" else None
    return value[0] if isinstance(value, tuple) else value
