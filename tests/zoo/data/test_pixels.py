from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.pixels import decoded_pixels, pixels


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_right_size_is_left_alone():
    array = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    result = decoded_pixels(encode(Image.fromarray(array)), 16, 3)
    assert (result.permute(1, 2, 0).numpy() == array).all()


def test_centre_is_cut_out_of_a_wide_image():
    array = np.zeros((8, 24, 3), dtype=np.uint8)
    array[:, 8:16] = 200
    assert (pixels(Image.fromarray(array), 8, 3) == 200).all()


def test_shrinking_averages_instead_of_skipping():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    result = pixels(Image.fromarray(stripes), 8, 1).float()
    assert (result - 127.5).abs().max() < 16


def test_shrinking_is_bicubic_as_torch_has_it():
    array = np.random.default_rng(1).integers(0, 256, (40, 40), dtype=np.uint8)
    ours = pixels(Image.fromarray(array), 16, 1).float()
    image = torch.from_numpy(array)[None, None].float()
    theirs = torch.nn.functional.interpolate(image, (16, 16), mode="bicubic", antialias=True)
    assert (ours - theirs[0]).abs().max() <= 1.0


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_is_white(channels):
    array = np.zeros((8, 8, 4), dtype=np.uint8)
    array[:4, :, 3] = 255
    result = decoded_pixels(encode(Image.fromarray(array)), 8, channels)
    assert result.shape == (channels, 8, 8)
    assert (result[:, :4] == 0).all()
    assert (result[:, 4:] == 255).all()


def test_palette_cmyk_and_sixteen_bits():
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    assert decoded_pixels(encode(red.convert("P")), 8, 3)[0].min() == 255
    cmyk = decoded_pixels(encode(red.convert("CMYK"), "JPEG", quality=95), 8, 3)
    assert cmyk[0].min() > 240
    assert cmyk[1].max() < 15
    deep = Image.fromarray(np.full((8, 8), 40000, dtype=np.uint16))
    assert (decoded_pixels(encode(deep), 8, 1) == 40000 >> 8).all()


def test_camera_orientation_is_applied():
    array = np.zeros((8, 8, 3), dtype=np.uint8)
    array[:, 4:] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    assert (decoded_pixels(encode(Image.fromarray(array), exif=exif), 8, 3)[:, :, :4] == 255).all()
