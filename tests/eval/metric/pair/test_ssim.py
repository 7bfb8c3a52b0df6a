from __future__ import annotations

import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from eval.metric.pair.ssim import ssim


def pair(count: int, channels: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(height + width)
    small = torch.rand(count, channels, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(small, (height, width), mode="bicubic")
    noise = 0.1 * torch.randn(smooth.shape, generator=generator)
    a, b = (255 * x.clamp(0, 1) for x in (smooth, 0.9 * smooth + noise))
    return a.byte(), b.byte()


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(1, 16, 16), (3, 32, 20), (3, 11, 11), (1, 11, 40)]
)
def test_equals_scikit_image_with_wangs_settings(channels: int, height: int, width: int) -> None:
    a, b = pair(3, channels, height, width)
    theirs = [
        structural_similarity(
            x.numpy(), y.numpy(), channel_axis=0, data_range=255,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )
        for x, y in zip(a, b, strict=True)
    ]  # fmt: skip
    found = ssim(a, b)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, torch.tensor(theirs).double(), rtol=1e-10, atol=1e-10)


def test_equals_torchmetrics_where_the_window_lies_inside_the_image() -> None:
    a, b = pair(4, 3, 24, 32)
    _, places = structural_similarity_index_measure(
        b.double(), a.double(), data_range=255.0, return_full_image=True
    )
    inside = places[..., 5:-5, 5:-5].mean((1, 2, 3))  # it mirrors images at their borders
    torch.testing.assert_close(ssim(a, b), inside, rtol=1e-6, atol=1e-6)


def test_one_for_the_same_image_and_less_for_any_other() -> None:
    a, b = pair(3, 1, 16, 16)
    torch.testing.assert_close(ssim(a, a), torch.ones(3).double())
    assert (ssim(a, b) < 0.99).all()
    torch.testing.assert_close(ssim(a, b), ssim(b, a))


def test_constant_images_have_the_luminance_term_alone() -> None:
    a, b = (torch.full((1, 1, 16, 16), value, dtype=torch.uint8) for value in (50, 100))
    c1 = (0.01 * 255) ** 2
    expected = (2 * 50 * 100 + c1) / (50**2 + 100**2 + c1)
    assert float(ssim(a, b)) == pytest.approx(expected, rel=1e-9)


def test_images_smaller_than_the_window_are_refused() -> None:
    a = torch.zeros(1, 1, 8, 16, dtype=torch.uint8)
    with pytest.raises(ValueError, match="11 pixels wide, too wide for images of 8x16"):
        ssim(a, a)
