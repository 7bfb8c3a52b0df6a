"""The U-Net of DDPM in torch: pesser/pytorch_diffusion's Model, which is latent diffusion's too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from zoo.checkpoint.outline import outline
from zoo.convert import keys
from zoo.convert.arguments import choose, factors, need, numbers, refuse, with_defaults
from zoo.convert.compvis.autoencoder import CONVOLUTIONAL, FIXED, names
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.variance import FixedVariance
from zoo.models.ddpm import DDPM
from zoo.sampler import Ancestral
from zoo.schedule import FromBetas, Linear, NoiseSchedule, ScaledLinear

_MODEL: dict[str, Any] = {**CONVOLUTIONAL, "use_timestep": True}
_FIXED = FIXED | {"use_timestep": (True,), "attn_type": ("vanilla",)}
_DIFFUSION: dict[str, Any] = {
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "num_diffusion_timesteps": 1000,
    "model_var_type": "fixedsmall",
}
_VARIANCES = {"fixedsmall": 0.0, "fixedlarge": 1.0}


def ddpm_unet(config: Mapping[str, Any]) -> UNet:
    """Our U-Net for the arguments of a Model; ``attn_resolutions`` are sides of the image.

    Raises:
        ValueError: an argument is unknown or missing, or our U-Net does not support its value.
    """
    arguments = with_defaults(config, _MODEL, "Model", _DIFFUSION)
    need(arguments, [name for name, default in _MODEL.items() if default is None], "Model")
    refuse(arguments, _FIXED, "Model")
    mult, sides = numbers(arguments["ch_mult"]), numbers(arguments["attn_resolutions"])
    if mult[0] != 1:
        raise ValueError(f"Model: ch_mult={list(mult)} has no counterpart here: it begins with 1")
    return UNet(
        in_channels=arguments["in_channels"],
        out_channels=arguments["out_ch"],
        channels=arguments["ch"],
        channel_mult=mult,
        num_res_blocks=arguments["num_res_blocks"],
        attention_at=factors(arguments["resolution"], sides, len(mult)),
        dropout=float(arguments["dropout"]),
        norm_eps=1e-6,
        asymmetric_padding=True,
        sine_first=True,
        frequency_shift=1,
    )


def load_ddpm_unet(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> UNet:
    """The U-Net with the weights of ``state``."""
    module = outline(lambda: ddpm_unet(config), len(state))
    return keys.fill(module, state, names(module), "DDPM U-Net")


def ddpm(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> DDPM:
    """The whole model: ``model_var_type`` is "fixedlarge" for CIFAR-10, else "fixedsmall"."""
    arguments = with_defaults(config, _DIFFUSION, "Diffusion", _MODEL)
    fraction = choose(arguments["model_var_type"], _VARIANCES, "model_var_type")
    net, steps = load_ddpm_unet(config, state), arguments["num_diffusion_timesteps"]
    module = DDPM(
        denoiser=net,
        diffusion=GaussianDiffusion(_schedule(arguments, steps), variance=FixedVariance(fraction)),
        image_shape=(config["in_channels"], config["resolution"], config["resolution"]),
        sampler=Ancestral(steps),
    )
    return module.eval()


def _schedule(arguments: Mapping[str, Any], steps: int) -> NoiseSchedule:
    start, end = arguments["beta_start"], arguments["beta_end"]
    makers: dict[str, Callable[[], NoiseSchedule]] = {
        "linear": lambda: plain_linear(steps, start, end),
        "quad": lambda: ScaledLinear(steps, start, end),
        "const": lambda: FromBetas([end] * steps),
    }
    return choose(arguments["beta_schedule"], makers, "beta_schedule")()


def plain_linear(steps: int, start: float, end: float) -> Linear:
    """Betas from start to end whatever the number of steps: ``Linear`` scales its own by 1000/T."""
    return Linear(steps, start * steps / 1000, end * steps / 1000)
