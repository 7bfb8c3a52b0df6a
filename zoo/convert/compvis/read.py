"""Checkpoints of latent diffusion, Stable Diffusion 1.x and the torch port of DDPM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from zoo.checkpoint.fit import name_list
from zoo.checkpoint.outline import outline
from zoo.convert.arguments import need, numbers, readable, with_defaults
from zoo.convert.compvis.autoencoder import autoencoder, load_autoencoder, scale_of
from zoo.convert.compvis.conditioner import conditioner
from zoo.convert.compvis.ddpm import ddpm, ddpm_unet, load_ddpm_unet
from zoo.convert.compvis.options import (
    LATENT_DIFFUSION,
    UNREAD,
    chain,
    fraction,
    guidance,
    objective,
    parameterization,
    schedule,
    walk,
)
from zoo.convert.compvis.state import UNET, autoencoder_weights, check_schedule, parts
from zoo.convert.family import expect
from zoo.convert.openai.unet import load_unet, unet
from zoo.convert.weights import Weights, choose
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.variance import FixedVariance
from zoo.models.autoencoder import Autoencoder
from zoo.models.ddpm import DDPM
from zoo.models.guided_latent_diffusion import GuidedLatentDiffusion
from zoo.models.latent_diffusion import LatentDiffusion


def from_compvis(
    state_dict: Mapping[str, Any], config: Mapping[str, Any], weights: str | None = None
) -> Any:
    """A published checkpoint as a model of the zoo.

    Averaged weights (``model_ema.``) are taken where the file has them; ``origin`` of the model,
    which ``save`` writes into the provenance, says which they are.

    Args:
        state_dict: of the file, for instance by ``zoo.convert.read``, or all that the file holds.
        config: the reference's yaml, or its ``model`` node (``target`` and ``params``), or the
            parameters alone; for the port of DDPM the arguments of its Model and its Diffusion.
        weights: "ema" or "raw"; see ``zoo.convert.read``.

    Returns:
        ``GuidedLatentDiffusion`` where the conditioner has a null condition, else
        ``LatentDiffusion``; ``DDPM`` for a diffusion of pixels; ``Autoencoder`` for a first stage.

    Raises:
        ValueError: the keys are of another layout, the weights do not fit the config, or the
            config asks for what the zoo lacks.
    """
    state = choose(state_dict, weights, "the checkpoint")
    expect(state, "compvis")
    with readable("the checkpoint"):
        module, origin = _model(state, config)
    module.origin = origin
    return module.eval()


def _model(state: Weights, config: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model, and which weights it has."""
    kind, params = model_node(config)
    if kind == "autoencoder":
        own, origin = autoencoder_weights(state)
        return Autoencoder(load_autoencoder(params, own)), origin
    if kind == "ddpm":
        return ddpm(params, state), state.origin
    if kind == "diffusion":
        return _diffusion(state, params)
    raise ValueError(
        "these are a U-Net's arguments, which say nothing of the diffusion: give the whole "
        "model node, or take the U-Net alone by zoo.convert.compvis.denoiser"
    )


def network(config: Mapping[str, Any]) -> nn.Module:
    """The network of a node or of parameters: a U-Net, an autoencoder, the DDPM port's Model.

    Of a whole latent diffusion it is the U-Net.
    """
    kind, params = model_node(config)
    if kind == "autoencoder":
        return autoencoder(params)
    if kind == "diffusion":
        return network(params["unet_config"])
    return ddpm_unet(params) if kind == "ddpm" else unet(params)


def denoiser(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> UNet:
    """The U-Net alone, concatenating ones included, of a checkpoint or of a U-Net's own weights.

    Args:
        state_dict: keys with or without the prefix ``model.diffusion_model.``; averages are taken
            where there are any.
        config: as for ``from_compvis``, or the U-Net's node or arguments.
    """
    state_dict = choose(state_dict, None, "the checkpoint")
    if any(key.startswith(UNET) for key in state_dict):
        state_dict = parts(state_dict).unet
    return _unet(state_dict, config)


def _unet(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> UNet:
    """The U-Net with its own weights, without prefix; see ``denoiser``."""
    kind, params = model_node(config)
    if kind == "diffusion":
        kind, params = model_node(params["unet_config"])
    if kind == "ddpm":
        return load_ddpm_unet(params, state_dict)
    module = outline(lambda: unet(params), len(state_dict))
    load_unet(module, state_dict, params, "compvis U-Net")
    return module


def model_node(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The kind of model in a config (diffusion, unet, autoencoder or ddpm), and its parameters.

    Raises:
        ValueError: it describes none of these.
    """
    node = config
    while "params" not in node and isinstance(node.get("model"), Mapping):
        node = node["model"]
    params = node.get("params", node)
    if "unet_config" in params:
        return "diffusion", params
    if "ddconfig" in params or ("ch" in params and "z_channels" in params):
        return "autoencoder", params
    if "model_channels" in params:
        return "unet", params
    if "ch" in params:
        return "ddpm", params
    raise ValueError(
        "the config describes no model that is known here: possible are a node with unet_config "
        "(latent diffusion), ddconfig (autoencoder), model_channels (U-Net) or ch (DDPM), got "
        f"{name_list(map(str, params))}"
    )


def _diffusion(state: Weights, params: Mapping[str, Any]) -> tuple[Any, dict]:
    arguments = with_defaults(params, LATENT_DIFFUSION, "latent diffusion", UNREAD)
    need(arguments, ("unet_config",), "latent diffusion")
    weights = parts(state)
    process = GaussianDiffusion(
        schedule=schedule(arguments),
        parameterization=parameterization(arguments["parameterization"]),
        variance=FixedVariance(fraction(arguments["v_posterior"])),
        objective=objective(arguments["loss_type"]),
    )
    check_schedule(process.schedule, weights.buffers)
    net = _unet(weights.unet, arguments["unet_config"])
    condition = conditioner(
        arguments["cond_stage_config"], weights.conditioner, bool(arguments["cond_stage_trainable"])
    )
    size = numbers(arguments["image_size"])
    sides = size * 2 if len(size) == 1 else size
    if arguments["first_stage_config"] is None:
        return (
            DDPM(net, process, (arguments["channels"], *sides), chain(process.schedule), condition),
            weights.origin,
        )
    _, first_params = model_node(arguments["first_stage_config"])
    scale = scale_of(arguments, weights.buffers)
    first = load_autoencoder(first_params, weights.first_stage, scale)
    whole: dict[str, Any] = dict(
        denoiser=net,
        diffusion=process,
        first_stage=first,
        image_shape=(first.image_channels, *(side * first.downsampling for side in sides)),
        sampler=walk(process.schedule),
        conditioner=condition,
    )
    if not condition.dropout:
        return LatentDiffusion(**whole), weights.origin
    return GuidedLatentDiffusion(**whole, guidance=guidance(condition)), weights.origin
