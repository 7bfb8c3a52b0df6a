"""Files of every kind, 8x8, each with the pixels that it has by the rule, or why it is refused."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, features

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (8, 8), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (8, 8, 3), dtype=np.uint16)
ALPHA = np.repeat(np.array([0, 64, 128, 255], dtype=np.uint8), 16).reshape(8, 8)
INDEX = RANDOM.integers(0, 4, (8, 8), dtype=np.uint8)
PALETTE = np.array([[0, 0, 0], [255, 0, 0], [10, 200, 30], [255, 255, 255]], np.uint8)
RANGE = "has (floats|signed or 32-bit integers), whose range is not known"
BROKEN = "broken image, .*: not a readable image"


class Kind(NamedTuple):
    """A file and what becomes of it.

    Attributes:
        data: the file.
        pixels: (8, 8) or (8, 8, 3) uint8, None where it is refused.
        refusal: a pattern of the message.
        within: by how much pixels may differ: blending rounds.
        channels: of a set of such files.
    """

    data: bytes
    pixels: np.ndarray | None
    refusal: str = ""
    within: int = 0
    channels: int = 3


def save(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def stored(data: bytes, mode: str = "RGB") -> np.ndarray:
    """The pixels of a lossy file as they are stored."""
    return np.array(Image.open(io.BytesIO(data)).convert(mode))


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    weight = (alpha / 255.0).reshape(*alpha.shape, *(1,) * (colour.ndim - 2))
    return np.rint(colour * weight + 255 * (1 - weight)).astype(np.uint8)


def cut_out(colour: np.ndarray, holes: np.ndarray) -> np.ndarray:
    return np.where(holes.reshape(*holes.shape, *(1,) * (colour.ndim - 2)), 255, colour)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bits(values: np.ndarray, depth: int) -> bytes:
    """Samples of a row, packed."""
    if depth in (8, 16):
        return values.astype(f">u{depth // 8}").tobytes()
    text = "".join(f"{value:0{depth}b}" for value in values.ravel())
    return int(text, 2).to_bytes(len(text) // 8, "big")


def png(
    values: np.ndarray,
    depth: int,
    colour: int,
    *before: tuple[bytes, bytes],
    after: tuple[tuple[bytes, bytes], ...] = (),
    interlaced: bool = False,
) -> bytes:
    """A PNG of raw samples, colour type 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA."""
    passes = [values]
    if interlaced:  # Adam7
        starts = [(0, 0), (0, 4), (4, 0), (0, 2), (2, 0), (0, 1), (1, 0)]
        steps = [(8, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 2), (2, 1)]
        passes = [values[y::dy, x::dx] for (y, x), (dy, dx) in zip(starts, steps, strict=True)]
    raw = b"".join(b"\0" + bits(row, depth) for part in passes for row in part)
    head = struct.pack(">IIBBBBB", 8, 8, depth, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", head), *before, (b"IDAT", zlib.compress(raw)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


def tiff(
    data: bytes, depth: int, photometric: int, sample_format: int = 1, order: str = "<"
) -> bytes:
    """An uncompressed TIFF of one channel."""
    tags = [(256, 8), (257, 8), (258, depth), (259, 1), (262, photometric), (273, 8 + 2 + 120 + 4)]
    tags += [(277, 1), (278, 8), (279, len(data)), (339, sample_format)]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    entries = [struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags]
    return head + b"".join(entries) + struct.pack(f"{order}I", 0) + data


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The upright picture, as EXIF's table has it."""
    flipped = pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels
    return np.rot90(flipped, {3: 2, 4: 2, 5: 1, 6: -1, 7: -1, 8: 1}.get(orientation, 0))


def grey_pngs() -> dict[str, Kind]:
    kinds = {}
    for depth in (1, 2, 4, 8, 16):
        values = DEEP[..., 0] >> (16 - depth)
        values[0] = (2**depth - 1) // 3  # neither white, nor 0 where it is scaled
        expected = values >> 8 if depth == 16 else values * (255 // (2**depth - 1))
        colour = (b"tRNS", struct.pack(">H", values[0, 0]))
        holes = cut_out(expected, values == values[0, 0])
        kinds[f"grey {depth} bit png"] = Kind(png(values, depth, 0), expected, channels=1)
        data = png(values, depth, 0, colour)
        kinds[f"grey {depth} bit png, transparent colour"] = Kind(data, holes, channels=1)
    for depth, grey in ((8, GREY), (16, DEEP[..., 0])):
        both = np.stack([grey, ALPHA.astype(np.int64) * (257 if depth == 16 else 1)], axis=-1)
        expected = on_white(grey >> (depth - 8), ALPHA)
        name = f"grey with alpha {depth} bit png"
        kinds[name] = Kind(png(both, depth, 4), expected, within=1, channels=1)
    return kinds


def colour_pngs() -> dict[str, Kind]:
    table, shown = (b"PLTE", PALETTE.tobytes()), PALETTE[INDEX]
    kinds = {
        f"palette {depth} bit png": Kind(png(index, depth, 3, table), PALETTE[index])
        for depth, index in ((1, INDEX % 2), (2, INDEX), (4, INDEX), (8, INDEX))
    }
    alphas = np.array([0, 64, 128, 255], np.uint8)
    several, single = (b"tRNS", alphas.tobytes()), (b"tRNS", b"\xff\x00")
    blended = on_white(shown, alphas[INDEX])
    icc = b"any\0\0" + zlib.compress(b"not read")
    exact = (b"tRNS", struct.pack(">3H", *RGB[0, 0]))
    rgba = np.dstack([RGB, ALPHA])
    deep = np.dstack([DEEP, ALPHA.astype(np.uint16) * 257])
    chunk16 = (b"tRNS", struct.pack(">3H", *DEEP[0, 0]))
    exif = (b"eXIf", oriented(6).tobytes()[6:])
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    whole = png(RGB, 8, 2)
    return kinds | {
        "palette png, alphas": Kind(png(INDEX, 2, 3, table, several), blended, within=1),
        "palette png, one hole": Kind(png(INDEX, 2, 3, table, single), cut_out(shown, INDEX == 1)),
        "rgb png": Kind(whole, RGB),
        "rgb 16 bit png": Kind(png(DEEP, 16, 2), DEEP >> 8),
        "interlaced png": Kind(png(RGB, 8, 2, interlaced=True), RGB),
        "png with gamma": Kind(png(RGB, 8, 2, (b"gAMA", struct.pack(">I", 100000))), RGB),
        "png with a profile": Kind(png(RGB, 8, 2, (b"iCCP", icc)), RGB),
        "rgb png, transparent colour": Kind(
            png(RGB, 8, 2, exact), cut_out(RGB, (RGB[0, 0] == RGB).all(-1))
        ),
        "rgb 16 bit png, transparent colour": Kind(
            png(DEEP, 16, 2, chunk16), None, "PNG of mode RGB has 16 bits a channel and a transp"
        ),
        "rgba png": Kind(png(rgba, 8, 6), on_white(RGB, ALPHA), within=1),
        "rgba 16 bit png": Kind(png(deep, 16, 6), on_white(DEEP >> 8, ALPHA), within=1),
        "png, exif": Kind(png(RGB, 8, 2, exif), turned(RGB, 6)),
        "png, exif behind the pixels": Kind(png(RGB, 8, 2, after=(exif,)), turned(RGB, 6)),
        "png, xmp": Kind(png(RGB, 8, 2, (b"iTXt", xmp)), turned(RGB, 6)),
        "animated png": Kind(
            save(RGB, save_all=True, append_images=[Image.fromarray(255 - RGB)]), RGB
        ),
        "truncated png": Kind(whole[:-40], None, BROKEN),
        "damaged png": Kind(whole.replace(b"IDAT", b"IDAX"), None, BROKEN),
        "empty file": Kind(b"", None, "broken image, .*the file is empty"),
        "text": Kind(b"no image", None, "broken image, .*no image of a known format"),
        "radiance hdr": Kind(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n", None, "of a known format"),
    }


def jpegs() -> dict[str, Kind]:
    plain, grey = save(RGB, "JPEG"), save(GREY, "JPEG")
    cmyk = save(Image.fromarray(RGB).convert("CMYK"), "JPEG")
    progressive = save(RGB, "JPEG", progressive=True)
    several = save(RGB, "MPO", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    turns = {
        f"jpeg, orientation {number}": Kind(
            save(RGB, "JPEG", exif=oriented(number)), turned(stored(plain), number)
        )
        for number in range(10)  # 0 and 9 mean nothing
    }
    return turns | {
        "jpeg": Kind(plain, stored(plain)),
        "grey jpeg": Kind(grey, stored(grey, "L"), channels=1),
        "cmyk jpeg": Kind(cmyk, stored(cmyk)),
        "progressive jpeg": Kind(progressive, stored(progressive)),
        "jpeg, damaged exif": Kind(save(RGB, "JPEG", exif=b"Exif\0\0nonsense"), stored(plain)),
        "mpo": Kind(several, stored(several)),
        "truncated jpeg": Kind(plain[: len(plain) - 30], None, BROKEN),
    }


def other_files() -> dict[str, Kind]:
    rgb, rgba, palette = Image.fromarray(RGB), np.dstack([RGB, ALPHA]), Image.fromarray(INDEX, "L")
    palette.putpalette(PALETTE.tobytes())
    negative = Image.fromarray(255 - RGB)
    frames = {"save_all": True, "append_images": [negative]}
    hole = cut_out(PALETTE[INDEX], INDEX == 1)
    lossy, lossless = save(rgb, "WEBP"), save(rgba, "WEBP", lossless=True, exact=True)
    ramp, sixteen = np.arange(64, dtype=np.uint16), DEEP[..., 0]
    cmyk, ycbcr = (save(rgb.convert(mode), "TIFF") for mode in ("CMYK", "YCbCr"))
    twelve = bits(ramp * 65, 12)
    pgm = b"P5 8 8 65535\n" + sixteen.astype(">u2").tobytes()
    ten = b"P5 8 8 1023\n" + (sixteen >> 6).astype(">u2").tobytes()
    kinds = {
        "lossy webp": Kind(lossy, stored(lossy)),
        "webp with alpha": Kind(lossless, on_white(RGB, ALPHA), within=1),
        "animated webp": Kind(save(rgb, "WEBP", lossless=True, **frames), RGB),
        "gif": Kind(save(palette, "GIF"), PALETTE[INDEX]),
        "transparent gif": Kind(save(palette, "GIF", transparency=1), hole),
        "animated gif": Kind(
            save(palette, "GIF", save_all=True, append_images=[palette.rotate(90)]), PALETTE[INDEX]
        ),
        "bmp": Kind(save(rgb, "BMP"), RGB),
        "grey bmp": Kind(save(GREY, "BMP"), GREY, channels=1),
        "tiff": Kind(save(rgb, "TIFF", compression="tiff_lzw"), RGB),
        "rgba tiff": Kind(save(rgba, "TIFF"), on_white(RGB, ALPHA), within=1),
        "turned 16 bit tiff": Kind(
            save(sixteen, "TIFF", exif=oriented(8)), turned(sixteen >> 8, 8), channels=1
        ),
        "tiff of several pages": Kind(save(rgb, "TIFF", **frames), RGB),
        "turned tiff": Kind(save(rgb, "TIFF", exif=oriented(6)), turned(RGB, 6)),
        "cmyk tiff": Kind(cmyk, stored(cmyk)),
        "ycbcr tiff": Kind(ycbcr, stored(ycbcr)),
        "lab tiff": Kind(save(Image.new("LAB", (8, 8)), "TIFF"), None, "TIFF of mode LAB is neit"),
        "bilevel tiff": Kind(save(Image.fromarray(GREY > 99), "TIFF"), (GREY > 99) * 255, "", 0, 1),
        "white is 0 tiff": Kind(tiff(GREY.tobytes(), 8, 0), 255 - GREY, channels=1),
        "12 bit tiff": Kind(tiff(twelve, 12, 1), (ramp * 65 >> 4).reshape(8, 8), channels=1),
        "16 bit tiff": Kind(tiff(sixteen.tobytes(), 16, 1), sixteen >> 8, channels=1),
        "16 bit tiff, big-endian": Kind(
            tiff(sixteen.astype(">u2").tobytes(), 16, 1, order=">"), sixteen >> 8, channels=1
        ),
        "16 bit tiff, white is 0": Kind(
            tiff(sixteen.tobytes(), 16, 0), 65535 - sixteen >> 8, channels=1
        ),
        "pgm of 16 bits": Kind(pgm, sixteen >> 8, channels=1),
        "pgm of 10 bits": Kind(ten, (sixteen >> 6) / 1023 * 65535 // 256, "", 1, 1),
        "signed 8 bit tiff": Kind(tiff(GREY.tobytes(), 8, 1, 2), None, "mode L has signed"),
        "signed 16 bit tiff": Kind(tiff(sixteen.tobytes(), 16, 1, 2), None, f"mode I {RANGE}"),
        "32 bit tiff": Kind(save(GREY.astype(np.int32), "TIFF"), None, f"TIFF of mode I {RANGE}"),
        "float tiff": Kind(save(GREY / np.float32(255), "TIFF"), None, "TIFF of mode F has floats"),
        "pfm": Kind(save(GREY.astype(np.float32), "PPM"), None, "PPM of mode F has floats"),
        "16 bit jpeg 2000": Kind(save(sixteen, "JPEG2000"), sixteen >> 8, channels=1),
        "tga with alpha": Kind(save(rgba, "TGA"), on_white(RGB, ALPHA), within=1),
        "qoi": Kind(save(rgb, "QOI"), RGB),
    }
    if features.check("avif"):  # not every build of Pillow has it
        avif = save(rgb, "AVIF", quality=100, subsampling="4:4:4")
        kinds["avif"] = Kind(avif, stored(avif))
        clear = save(np.zeros((8, 8, 4), np.uint8), "AVIF")
        kinds["transparent avif"] = Kind(clear, np.full((8, 8, 3), 255), within=1)
    return kinds


KINDS = grey_pngs() | colour_pngs() | jpegs() | other_files()
