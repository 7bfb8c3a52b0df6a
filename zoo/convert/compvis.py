"""Checkpoints of latent diffusion, Stable Diffusion 1.x and the torch port of DDPM."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from zoo.conditioner import BERTText, CLIPText
from zoo.convert import keys
from zoo.convert.arguments import complete, need, numbers
from zoo.convert.compvis_autoencoder import autoencoder, load_autoencoder, scale_of
from zoo.convert.compvis_conditioner import conditioner
from zoo.convert.compvis_ddpm import ddpm, ddpm_unet, load_ddpm_unet, plain_linear
from zoo.convert.compvis_state import (
    UNET,
    autoencoder_weights,
    check_schedule,
    parts,
)
from zoo.convert.family import expect
from zoo.convert.openai_unet import heads_first, layers, unet
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.parameterization import X0, Epsilon
from zoo.diffusion.variance import FixedVariance
from zoo.diffusion.weighting import Objective, Simple, SimpleL1
from zoo.guidance import ClassifierFree
from zoo.models.autoencoder import Autoencoder
from zoo.models.ddpm import DDPM
from zoo.models.guided_latent_diffusion import GuidedLatentDiffusion
from zoo.models.latent_diffusion import LatentDiffusion
from zoo.sampler import DDIM, Ancestral, grid
from zoo.schedule import Cosine, FromBetas, NoiseSchedule, ScaledLinear

_LATENT_DIFFUSION: dict[str, Any] = {
    "unet_config": None,
    "first_stage_config": None,
    "cond_stage_config": "__is_unconditional__",
    "image_size": 256,
    "channels": 3,
    "timesteps": 1000,
    "beta_schedule": "linear",
    "linear_start": 1e-4,
    "linear_end": 2e-2,
    "cosine_s": 8e-3,
    "given_betas": None,
    "v_posterior": 0.0,
    "parameterization": "eps",
    "loss_type": "l2",
    "scale_factor": 1.0,
    "cond_stage_trainable": False,
}
_UNREAD = {  # how it is trained and logged
    "num_timesteps_cond", "log_every_t", "first_stage_key", "cond_stage_key", "concat_mode",
    "conditioning_key", "cond_stage_forward", "scale_by_std", "monitor", "use_ema", "ckpt_path",
    "ignore_keys", "load_only_unet", "clip_denoised", "original_elbo_weight", "l_simple_weight",
    "scheduler_config", "use_positional_encodings", "learn_logvar", "logvar_init", "ema_decay",
}  # fmt: skip
_SCALES = {BERTText: 5.0, CLIPText: 7.5}  # of guidance, as the repositories' scripts have them
_CLASS_SCALE = 1.5  # the paper's for ImageNet (arXiv:2112.10752, table 3)


def from_compvis(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Any:
    """A published checkpoint as a model of the zoo.

    Averaged weights (``model_ema.``) are taken where the file has them; ``origin`` of the model,
    which ``save`` writes into the provenance, says which they are.

    Args:
        state_dict: the file's ``state_dict``, for instance by ``zoo.convert.read``.
        config: the reference's yaml, or its ``model`` node (``target`` and ``params``), or the
            parameters alone; for the port of DDPM the arguments of its Model and its Diffusion.

    Returns:
        ``GuidedLatentDiffusion`` where the conditioner has a null condition, else
        ``LatentDiffusion``; ``DDPM`` for a diffusion of pixels; ``Autoencoder`` for a first stage.

    Raises:
        ValueError: the keys are of another layout, the weights do not fit the config, or the
            config asks for what the zoo lacks.
    """
    expect(state_dict, "compvis")
    kind, params = described(config)
    if kind == "autoencoder":
        weights, origin = autoencoder_weights(state_dict)
        module: Any = Autoencoder(load_autoencoder(params, weights))
    elif kind == "ddpm":
        module, origin = ddpm(params, state_dict), {}
    elif kind == "diffusion":
        module, origin = _diffusion(state_dict, params)
    else:
        raise ValueError(
            "these are a U-Net's arguments, which say nothing of the diffusion: give the whole "
            "model node, or take the U-Net alone by zoo.convert.compvis.denoiser"
        )
    module.origin = origin
    return module.eval()


def network(config: Mapping[str, Any]) -> nn.Module:
    """The network of a node or of parameters: a U-Net, an autoencoder, the DDPM port's Model.

    Of a whole latent diffusion it is the U-Net.
    """
    kind, params = described(config)
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
    if any(key.startswith(UNET) for key in state_dict):
        state_dict = parts(state_dict).unet
    kind, params = described(config)
    if kind == "diffusion":
        kind, params = described(params["unet_config"])
    if kind == "ddpm":
        return load_ddpm_unet(params, state_dict)
    module, name = unet(params), "compvis U-Net"
    state = keys.translate(module, state_dict, keys.table(module, layers(module)), name)
    if not params.get("use_new_attention_order"):
        state = heads_first(module, state)
    keys.load(module, state, name)
    return module


def described(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """What a config describes (diffusion, unet, autoencoder or ddpm), and its parameters.

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
        f"{keys.listed(map(str, params))}"
    )


def _diffusion(state: Mapping[str, Tensor], params: Mapping[str, Any]) -> tuple[Any, dict]:
    given = complete(params, _LATENT_DIFFUSION, "latent diffusion", _UNREAD)
    need(given, ("unet_config",), "latent diffusion")
    held = parts(state)
    process = GaussianDiffusion(
        schedule=_schedule(given),
        parameterization=_parameterization(given["parameterization"]),
        variance=FixedVariance(_fraction(given["v_posterior"])),
        objective=_objective(given["loss_type"]),
    )
    check_schedule(process.schedule, held.buffers)
    net = denoiser(held.unet, given["unet_config"])
    condition = conditioner(
        given["cond_stage_config"], held.conditioner, bool(given["cond_stage_trainable"])
    )
    size = numbers(given["image_size"])
    sides = size * 2 if len(size) == 1 else size
    if given["first_stage_config"] is None:
        return (
            DDPM(net, process, (given["channels"], *sides), _chain(process.schedule), condition),
            held.origin,
        )
    _, first_params = described(given["first_stage_config"])
    first = load_autoencoder(first_params, held.first_stage, scale_of(given, held.buffers))
    whole: dict[str, Any] = dict(
        denoiser=net,
        diffusion=process,
        first_stage=first,
        image_shape=(first.image_channels, *(side * first.downsampling for side in sides)),
        sampler=_walk(process.schedule),
        conditioner=condition,
    )
    if not condition.dropout:
        return LatentDiffusion(**whole), held.origin
    scale = _SCALES.get(type(condition), _CLASS_SCALE)
    return GuidedLatentDiffusion(**whole, guidance=ClassifierFree(scale)), held.origin


def _walk(schedule: NoiseSchedule) -> DDIM:
    """The repository's DDIM sampler: 50 steps at times 2, 22, ..., that end at t = 1."""
    times = partial(grid.leading, first=2, stop=1)
    return DDIM(min(50, max(1, int(schedule.end) // 2)), times)


def _chain(schedule: NoiseSchedule) -> Ancestral:
    return Ancestral(int(schedule.end))


def _schedule(given: Mapping[str, Any]) -> NoiseSchedule:
    if given["given_betas"] is not None:
        return FromBetas(list(given["given_betas"]))
    name, steps = given["beta_schedule"], given["timesteps"]
    start, end = given["linear_start"], given["linear_end"]
    if name == "linear":  # in the square root of beta, whatever its name
        return ScaledLinear(steps, start, end)
    if name == "sqrt_linear":
        return plain_linear(steps, start, end)
    if name == "cosine":
        return Cosine(steps, given["cosine_s"])
    raise ValueError(
        f"there is no counterpart of beta_schedule '{name}': possible are linear, sqrt_linear, "
        "cosine"
    )


def _parameterization(name: str) -> Epsilon | X0:
    if name not in ("eps", "x0"):
        raise ValueError(f"there is no parameterization '{name}': possible are eps, x0")
    return Epsilon() if name == "eps" else X0()


def _fraction(v_posterior: float) -> float:
    if v_posterior not in (0, 1):
        raise ValueError(
            f"v_posterior={v_posterior} has no counterpart here: variances are mixed by their "
            "logarithms, so possible is 0 or 1"
        )
    return float(v_posterior)


def _objective(loss_type: str) -> Objective:
    if loss_type not in ("l1", "l2"):
        raise ValueError(f"there is no loss_type '{loss_type}': possible are l1, l2")
    return Simple() if loss_type == "l2" else SimpleL1()
