from __future__ import annotations

import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.functional.image import peak_signal_noise_ratio as of_torchmetrics

from eval.metric import PSNR
from eval.metric.pair.psnr import psnr
from eval.source.batch import Images


def pair(count: int, channels: int = 3, size: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count + size)
    a = torch.randint(0, 256, (count, channels, size, size + 4), generator=generator)
    noise = torch.randint(-20, 21, a.shape, generator=generator)
    return a.byte(), (a + noise).clamp(0, 255).byte()


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_scikit_image_and_torchmetrics(channels: int) -> None:
    a, b = pair(4, channels)
    found = psnr(a, b)
    assert found.dtype == torch.float64
    theirs = [
        peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=255)
        for x, y in zip(a, b, strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(theirs), rtol=1e-12, atol=0)
    each = of_torchmetrics(
        b.double(), a.double(), data_range=255.0, reduction="none", dim=(1, 2, 3)
    )
    torch.testing.assert_close(found, each.double(), rtol=1e-6, atol=0)


def test_an_error_of_one_value_everywhere_and_of_none() -> None:
    a = torch.full((2, 1, 8, 8), 100, dtype=torch.uint8)
    torch.testing.assert_close(psnr(a, a + 1), torch.full((2,), 20 * math.log10(255)).double())
    assert psnr(a, a).tolist() == [100.0, 100.0]


def test_the_mean_is_of_decibels_and_parts_merge() -> None:
    a, b = pair(7)
    metric, other = PSNR(), PSNR()
    metric.update({}, Images(b[:3], originals=a[:3]))
    other.update({}, Images(b[3:], originals=a[3:]))
    metric.merge_state(other)
    each = psnr(a, b)
    assert metric.compute() == {"psnr": pytest.approx(float(each.mean()), rel=1e-12)}
    deviation = float(each.std(correction=0))
    assert metric.detail("psnr") == {"deviation": pytest.approx(deviation, rel=1e-9)}
    metric.reset()
    with pytest.warns(UserWarning, match="before"), pytest.raises(ValueError, match="psnr: no ima"):
        metric.compute()


def test_what_is_no_pair_of_8_bit_images_is_refused() -> None:
    a, b = pair(2)
    with pytest.raises(ValueError, match="uint8 .* of one shape, got torch.uint8 .* torch.float32"):
        psnr(a, b.float())
    with pytest.raises(ValueError, match="psnr compares images with their originals; these have"):
        PSNR().update({}, Images(a))
    with pytest.raises(ValueError, match="of one shape"):
        psnr(a, b[:1])
