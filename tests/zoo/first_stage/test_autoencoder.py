from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

from zoo.draw import Draw
from zoo.first_stage import Identity, KLAutoencoder
from zoo.part import config_of

SMALL: dict[str, Any] = dict(
    image_channels=1,
    latent_channels=2,
    channels=8,
    channel_mult=(1, 2),
    num_res_blocks=1,
    norm_groups=4,
)


def images(count: int = 2, size: int = 8) -> torch.Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (55_312_063, dict(latent_channels=3, channel_mult=(1, 2, 4))),
        (83_653_863, dict()),
        (69_610_963, dict(latent_channels=16, channel_mult=(1, 1, 2, 2, 4), attention_at=(16,))),
        (
            103_880_131,
            dict(latent_channels=64, channel_mult=(1, 1, 2, 2, 4, 4), attention_at=(16, 32)),
        ),
    ],
    ids=["kl-f4", "kl-f8", "kl-f16", "kl-f32"],
)
def test_published_parameter_counts(count: int, sizes: dict[str, Any]) -> None:
    with torch.device("meta"):
        network = KLAutoencoder(**sizes)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_shapes() -> None:
    first_stage = KLAutoencoder(**SMALL)
    shape = first_stage.latent_shape((1, 8, 8))
    moments = first_stage.moments(images())
    latents = first_stage.draw(moments, Draw(0, range(2), "posterior"))
    assert shape == (2, 4, 4) == tuple(latents.shape[1:])
    assert moments.shape == (2, 4, 4, 4)
    assert first_stage.decode(latents).shape == (2, 1, 8, 8)
    assert first_stage.downsampling == 2
    assert first_stage.bounds is None


def test_a_draw_is_the_posterior_shifted_and_scaled() -> None:
    first_stage = KLAutoencoder(**SMALL)
    first_stage.set_scale(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    moments = torch.randn(3, 4, 4, 4)
    mean, log_variance = moments.chunk(2, dim=1)
    noise = Draw(7, range(3), "posterior").normal(mean)
    drawn = mean + (log_variance / 2).exp() * noise
    shift, scale = (torch.tensor(v).view(1, 2, 1, 1) for v in ([1.0, -2.0], [0.5, 3.0]))
    latents = first_stage.draw(moments, Draw(7, range(3), "posterior"))
    torch.testing.assert_close(latents, (drawn - shift) * scale)
    torch.testing.assert_close(first_stage.draw(moments), (mean - shift) * scale)
    plain = KLAutoencoder(**SMALL)
    plain.load_state_dict(
        {k: v for k, v in first_stage.state_dict().items() if k not in ("shift", "scale")},
        strict=False,
    )
    torch.testing.assert_close(first_stage.decode(latents), plain.decode(drawn))


def test_a_wild_log_variance_stays_finite() -> None:
    first_stage = KLAutoencoder(**SMALL)
    moments = torch.cat([torch.zeros(1, 2, 4, 4), torch.full((1, 2, 4, 4), 500.0)], dim=1)
    assert first_stage.draw(moments, Draw(0, [0], "posterior")).isfinite().all()


def test_latents_are_drawn_in_float32_from_bfloat16_moments() -> None:
    first_stage = KLAutoencoder(**SMALL)
    with torch.autocast("cpu", torch.bfloat16):
        moments = first_stage.moments(images())
        assert moments.dtype == torch.bfloat16
        assert first_stage.draw(moments, Draw(0, range(2), "posterior")).dtype == torch.float32


def test_the_scale_travels_with_the_weights_and_starts_neutral() -> None:
    first_stage = KLAutoencoder(**SMALL)
    assert first_stage.shift.eq(0).all()
    assert first_stage.scale.eq(1).all()
    first_stage.set_scale(0.25, 0.18215)
    other = KLAutoencoder(**SMALL)
    other.load_state_dict(first_stage.state_dict())
    torch.testing.assert_close(other.scale, torch.full((1, 2, 1, 1), 0.18215))
    torch.testing.assert_close(other.shift, torch.full((1, 2, 1, 1), 0.25))


@pytest.mark.parametrize(
    ("shift", "scale", "message"),
    [
        (0.0, 0.0, "scale must be positive"),
        (0.0, float("inf"), "scale must be one finite number"),
        (torch.zeros(3), 1.0, "shift must be .* 2 channels"),
    ],
)
def test_refuses_an_impossible_scale(shift: Any, scale: Any, message: str) -> None:
    first_stage = KLAutoencoder(**SMALL)
    with pytest.raises(ValueError, match=message):
        first_stage.set_scale(shift, scale)
    assert first_stage.shift.eq(0).all()
    assert first_stage.scale.eq(1).all()


def test_refuses_impossible_images() -> None:
    first_stage = KLAutoencoder(**SMALL)
    with pytest.raises(ValueError, match="multiples of 2, such as 6x8 or 8x8"):
        first_stage.latent_shape((1, 7, 8))
    with pytest.raises(ValueError, match="multiples of 2"):
        first_stage.moments(torch.zeros(1, 1, 8, 7))
    with pytest.raises(ValueError, match="images of 1 channels, got 3"):
        first_stage.moments(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"possible are \[1, 2\]"):
        KLAutoencoder(**SMALL, attention_at=(16,))


@pytest.mark.parametrize("attention", [False, True])
def test_gradients_reach_every_parameter(attention: bool) -> None:
    first_stage = KLAutoencoder(
        **SMALL, mid_attention=attention, attention_at=(2,) if attention else ()
    )
    moments = first_stage.moments(images())
    latents = first_stage.draw(moments, Draw(0, range(2), "posterior"))
    first_stage.decode(latents).square().sum().backward()
    without = [n for n, p in first_stage.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_copies_pickles_and_is_written_down() -> None:
    first_stage = KLAutoencoder(**SMALL, z_channels=3, mid_attention=False)
    first_stage.set_scale(0.1, 2.0)
    expected = first_stage.decode(first_stage.draw(first_stage.moments(images())))
    config = config_of(first_stage)
    assert config.pop("_target_") == "zoo.first_stage.autoencoder.KLAutoencoder"
    written = KLAutoencoder(**config)
    written.load_state_dict(first_stage.state_dict())
    for other in (
        copy.deepcopy(first_stage),
        pickle.loads(pickle.dumps(first_stage)),
        written,
    ):
        assert torch.equal(other.decode(other.draw(other.moments(images()))), expected)
    with torch.no_grad():
        written.scale.mul_(2)  # nothing is shared
    assert first_stage.scale.eq(2).all()


def test_identity_hands_pixels_through() -> None:
    first_stage, pixels = Identity(), images()
    moments = first_stage.moments(pixels)
    assert torch.equal(first_stage.decode(first_stage.draw(moments, None)), pixels)
    assert first_stage.latent_shape((3, 5, 7)) == (3, 5, 7)
    assert first_stage.bounds == (-1.0, 1.0)
    assert config_of(first_stage) == {"_target_": "zoo.first_stage.identity.Identity"}
