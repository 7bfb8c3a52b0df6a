from __future__ import annotations

import torch

from zoo.data.augmentation import moved, noisy
from zoo.draw import Draw


def images() -> torch.Tensor:
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def draw(rows: range = range(6)) -> Draw:
    return Draw(3, rows, "train/augmentation")


def test_an_image_is_changed_by_its_own_stream_alone() -> None:
    whole, one = draw(), draw(range(2, 3))
    all_six = noisy(moved(images(), whole), whole)
    third = noisy(moved(images()[2:3], one), one)
    torch.testing.assert_close(all_six[2:3], third)
    changes = (all_six - images()).flatten(1)
    assert (changes.abs().amax(dim=1) > 0.01).all()
    assert torch.cdist(changes, changes).fill_diagonal_(1).min() > 0.01  # no two alike


def test_no_change_is_the_identity() -> None:
    still = moved(images(), draw(), rotation=0, scale=0, shift=0)
    torch.testing.assert_close(still, images())
    assert torch.equal(noisy(images(), draw(), noise=0), images())


def test_a_shift_of_a_pixel_moves_by_a_pixel() -> None:
    class Largest(Draw):
        def uniform(self) -> torch.Tensor:
            return torch.ones(len(self), dtype=torch.float64)

    by_one = moved(images(), Largest(0, range(6), ""), rotation=0, scale=0, shift=1 / 8)
    torch.testing.assert_close(by_one[..., :-1, :-1], images()[..., 1:, 1:])
    torch.testing.assert_close(by_one[..., -1, :-1], images()[..., -1, 1:])  # edges carried on


def test_a_quarter_turn_is_torchs() -> None:
    class Largest(Draw):
        def uniform(self) -> torch.Tensor:
            return torch.ones(len(self), dtype=torch.float64)

    turned = moved(images(), Largest(0, range(6), ""), rotation=90, scale=0, shift=0)
    torch.testing.assert_close(turned, images().rot90(1, (2, 3)), atol=1e-5, rtol=0)


def test_noise_has_each_images_own_strength() -> None:
    streams = Draw(0, range(400), "")
    strengths = Draw(0, range(400), "").uniform() * 0.5
    noise = noisy(torch.zeros(400, 1, 16, 16), streams, noise=0.5)
    torch.testing.assert_close(
        noise.flatten(1).std(dim=1).double(), strengths, rtol=0.25, atol=1e-3
    )
