"""Dropout whose masks belong to images: alike in every batch and process, and random enough."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from zoo.layers.dropout import Dropout, mixed, seeds, set_seeds


def seeded(count=2, p=0.3, images=range(6), seed=0):
    layers = [Dropout(p) for _ in range(count)]
    set_seeds(layers, seeds(seed, images))
    return layers


def zeros(layer, size=4096):
    return layer(torch.ones(len(layer.seeds), size)) == 0


def test_an_image_has_its_own_mask_whatever_batch_it_is_in():
    whole, _ = seeded()
    first, _ = seeded(images=range(4))
    rest, _ = seeded(images=range(4, 6))
    assert torch.equal(zeros(whole), torch.cat([zeros(first), zeros(rest)]))


def test_layers_images_and_seeds_have_masks_of_their_own():
    first, second = seeded()
    (other,) = seeded(1, seed=1)
    masks = torch.cat([zeros(first), zeros(second), zeros(other)]).double()
    correlation = torch.corrcoef(masks).fill_diagonal_(0)
    assert correlation.abs().max() < 5 / 4096**0.5


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_share_of_zeros_is_p_and_the_mean_stays(p):
    (layer,) = seeded(1, p, range(64))
    y = layer(torch.ones(64, 3, 40, 40))
    deviation = (p * (1 - p) / y.numel()) ** 0.5
    assert abs((y == 0).double().mean() - p) <= 5 * deviation
    if p < 1:
        assert abs(y.double().mean() - 1) <= 5 * deviation / (1 - p)


def test_neighbours_in_an_image_are_independent():
    (layer,) = seeded(1, 0.5, range(32))
    mask = zeros(layer, 1 << 15).double() - 0.5
    for lag in (1, 2, 3, 32, 1 << 14):
        product = (mask[:, lag:] * mask[:, :-lag]).mean() * 4
        assert abs(product) < 5 / mask.numel() ** 0.5


def test_the_hash_of_int32_is_a_permutation():
    words = torch.cat([torch.arange(-(1 << 20), 0), torch.tensor([2**31 - 1, -(2**31)])])
    assert len(mixed(words.to(torch.int32)).unique()) == len(words)


def test_a_recomputed_pass_has_the_same_masks_and_gradients_follow_them():
    (layer,) = seeded(1)
    x = torch.randn(6, 50, requires_grad=True)
    y = layer(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    again = checkpoint(layer, x, use_reentrant=False)
    (recomputed,) = torch.autograd.grad(again.sum(), x)
    assert torch.equal(y, again) and torch.equal(gradient, recomputed)
    torch.testing.assert_close(y, x * gradient)


def test_without_seeds_it_is_torchs_and_in_evaluation_nothing():
    layer, x = Dropout(0.3), torch.ones(4, 1000)
    torch.manual_seed(0)
    mine = layer(x)
    torch.manual_seed(0)
    assert torch.equal(mine, torch.nn.functional.dropout(x, 0.3))
    assert layer.eval()(x) is x
    assert not layer.state_dict()


def test_rows_that_are_no_images_and_impossible_shares_are_refused():
    (layer,) = seeded(1)
    with pytest.raises(ValueError, match="masks 6 images, one by one, got 12 rows"):
        layer(torch.ones(12, 3))
    with pytest.raises(ValueError, match=r"dropout is a share in \[0, 1\], got 1.5"):
        Dropout(1.5)
