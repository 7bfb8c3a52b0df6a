"""Checkpoints of improved-diffusion and guided-diffusion (arXiv:2102.09672, arXiv:2105.05233)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from zoo.checkpoint.outline import outline
from zoo.conditioner import ClassLabel, LowResolution
from zoo.convert.arguments import factors, numbers, readable, with_defaults
from zoo.convert.family import expect
from zoo.convert.openai.classifier import classifier_network, from_openai_classifier
from zoo.convert.openai.options import (
    DIFFUSION,
    NETWORK,
    NUM_CLASSES,
    SCRIPTS,
    WHAT,
    channel_mult,
    clock,
    objective,
    sampler,
    schedule,
)
from zoo.convert.openai.unet import DEFAULTS as UNET_DEFAULTS
from zoo.convert.openai.unet import load_unet, unet
from zoo.convert.weights import choose
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.parameterization import X0, Epsilon
from zoo.diffusion.variance import FixedVariance, LearnedVariance, Variance
from zoo.models.ddpm import DDPM
from zoo.models.improved_ddpm import ImprovedDDPM


def from_openai(
    state_dict: Mapping[str, Any], config: Mapping[str, Any], weights: str | None = None
) -> Any:
    """A published U-Net as a model that draws images, or a noisy classifier as one that guides.

    Two defaults differ between the repositories and matter where ``diffusion_steps`` is not 1000:
    ``rescale_timesteps`` and ``rescale_learned_sigmas`` are on in improved-diffusion and off in
    guided-diffusion. A config that has one of the arguments that only guided-diffusion knows gets
    the latter; any other gets improved-diffusion's.

    Args:
        state_dict: of the file, for instance by ``zoo.convert.read``, or all that the file holds.
        config: ``script_util``'s arguments; those left out have its defaults.
        weights: "ema" or "raw"; see ``zoo.convert.read``.

    Returns:
        ``ImprovedDDPM`` where sigma is learned, else ``DDPM``, upsamplers included, whose
        conditioner takes the smaller images; ``NoisyClassifier`` for a classifier's weights.

    Raises:
        ValueError: the keys are of another layout, the weights do not fit the config, or the
            config asks for what the zoo lacks.
    """
    state = choose(state_dict, weights, "the checkpoint")
    expect(state, "openai")
    with readable("the checkpoint"):
        module: Any = _model(state, config)
    module.origin = state.origin
    return module.eval()


def _model(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Any:
    if not any(key.startswith("output_blocks.") for key in state_dict):
        return from_openai_classifier(state_dict, config)
    arguments = _complete(_with_classes(state_dict, config))
    net, steps = denoiser(state_dict, config), int(arguments["diffusion_steps"])
    fixed = FixedVariance(0.0 if arguments["sigma_small"] else 1.0)
    variance: Variance = LearnedVariance() if arguments["learn_sigma"] else fixed
    size = arguments["large_size"] or arguments["image_size"]
    conditioner: Any = None
    if arguments["large_size"]:
        conditioner = LowResolution(size, 3, net.num_classes)
    elif net.num_classes is not None:
        conditioner = ClassLabel(net.num_classes)
    return (ImprovedDDPM if arguments["learn_sigma"] else DDPM)(
        denoiser=net,
        diffusion=GaussianDiffusion(
            schedule=schedule(arguments["noise_schedule"], steps),
            parameterization=X0() if arguments["predict_xstart"] else Epsilon(),
            variance=variance,
            objective=objective(arguments, config),
        ),
        image_shape=(3, size, size),
        sampler=sampler(arguments["timestep_respacing"], steps),
        conditioner=conditioner,
        clock=clock(arguments, config),
    )


def denoiser(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> UNet:
    """The U-Net alone, upsamplers' included, with the weights of ``state_dict``.

    An upsampler takes the low-resolution image, enlarged bilinearly, as a condition's ``image``.
    """
    config = _with_classes(state_dict, config)
    module: Any = outline(lambda: network(config), len(state_dict))
    load_unet(module, state_dict, config, "openai U-Net")
    return module


def network(config: Mapping[str, Any]) -> nn.Module:
    """The network of ``script_util``'s arguments, or of a UNetModel's own."""
    if any(name.startswith("classifier_") for name in config) and "num_channels" not in config:
        return classifier_network(config)
    if "model_channels" in config:
        return unet(config)
    arguments = _complete(config)
    size, larger = arguments["image_size"], arguments["large_size"]
    mult = channel_mult(arguments["channel_mult"], larger or size, upsampler=bool(larger))
    classes = arguments["num_classes"] or NUM_CLASSES
    return unet(
        {name: arguments[name] for name in arguments.keys() & UNET_DEFAULTS.keys()}
        | {
            "image_size": larger or size,
            "in_channels": 6 if larger else 3,
            "model_channels": arguments["num_channels"],
            "out_channels": 6 if arguments["learn_sigma"] else 3,
            "channel_mult": mult,
            "attention_resolutions": factors(
                larger or size, numbers(arguments["attention_resolutions"]), len(mult)
            ),
            "num_classes": classes if arguments["class_cond"] else None,
        }
    )


def _complete(config: Mapping[str, Any]) -> dict[str, Any]:
    if "model_channels" in config:
        raise ValueError(
            "these are UNetModel's own arguments, which say nothing of the diffusion: give "
            "script_util's (num_channels, learn_sigma, diffusion_steps, ...)"
        )
    own = {name: value for name, value in config.items() if not name.startswith("classifier_")}
    return with_defaults(own, NETWORK | DIFFUSION, WHAT, SCRIPTS)


def _with_classes(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with as many classes as the weights have labels, where it asks for classes."""
    rows = len(state["label_emb.weight"]) if "label_emb.weight" in state else None
    if rows is None or not config.get("class_cond"):
        return dict(config)
    return {"num_classes": rows, **config}
