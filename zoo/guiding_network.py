"""Whether another network can guide a model: it has to know its noise, its space and its labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_LEVELS = 9  # of two schedules that are compared


def check_network(module: Any, name: str, network: Any) -> None:
    """Refuses a classifier or a weaker model that is for other images, noise or labels.

    Args:
        module: the diffusion model that is guided.
        name: what the guidance calls the network, "classifier" or "weak".
        network: it.

    Raises:
        ValueError: names what differs and the remedy.
    """
    _check_space(module, name, network)
    _check_schedule(module, name, network)
    _check_labels(module, name, network)


def _check_space(module: Any, name: str, network: Any) -> None:
    if list(network.image_shape) != list(module.image_shape):
        raise ValueError(
            f"guidance.{name} is for images {tuple(network.image_shape)}, the model draws "
            f"{tuple(module.image_shape)}: train one with data.image_size={module.image_shape[-1]}"
            + _channels(network, module)
        )
    if tuple(network.latent_shape) != tuple(module.latent_shape):
        raise ValueError(
            f"guidance.{name} knows {_space(network)}, the model works in {_space(module)}: train "
            f"one in that space, {_remedy(module)}"
        )
    if not same_first_stage(network.first_stage, module.first_stage):
        raise ValueError(
            f"guidance.{name} knows the latents of another autoencoder than the model's: train "
            "one with autoencoder=FILE of the model's"
        )


def _check_schedule(module: Any, name: str, network: Any) -> None:
    ours, theirs = module.diffusion.schedule, network.diffusion.schedule
    if not same_levels(ours, theirs):
        raise ValueError(
            f"guidance.{name} was trained on the noise levels of {_schedule(theirs)}, the model on "
            f"those of {_schedule(ours)}: train one with the model's schedule"
        )


def _check_labels(module: Any, name: str, network: Any) -> None:
    own = getattr(module.conditioner, "num_classes", None)
    reads = getattr(network, "conditioner", network)
    classes = getattr(reads, "num_classes", None)
    if classes is not None and own is not None and classes != own:
        raise ValueError(
            f"guidance.{name} knows {classes} classes, the model {own}: use one of the same labels"
        )
    texts = [getattr(reads, "reads_captions", False), _reads_captions(module)]
    if (classes is not None and texts[1]) or (texts[0] and own is not None):
        kinds = [f"captions, guidance.{name} labels", f"labels, guidance.{name} captions"]
        raise ValueError(
            f"the model reads {kinds[bool(texts[0])]}: both must read the same conditions"
        )


def same_levels(a: Any, b: Any) -> bool:
    """Whether two schedules have the same noise at the same times."""
    if a.end != b.end:
        return False
    for t in torch.linspace(0.1, 1.0, _LEVELS, dtype=torch.float64) * a.end:
        one, other = a(float(t)), b(float(t))
        for x, y in ((one.alpha, other.alpha), (one.sigma, other.sigma)):
            if abs(x - y) > 1e-6 * max(abs(x), abs(y)):
                return False
    return True


def same_first_stage(a: Any, b: Any) -> bool:
    """Whether two first stages have one latent space; weights kept in half precision count too."""
    if a is b:
        return True
    if isinstance(a, nn.Module) != isinstance(b, nn.Module):
        return False
    if not isinstance(a, nn.Module):
        return type(a) is type(b)
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(
        value.shape == theirs[key].shape
        and torch.allclose(value.double(), theirs[key].to(value.device).double(), 2e-3, 1e-6)
        for key, value in ours.items()
    )


def _reads_captions(module: Any) -> bool:
    return bool(getattr(module.conditioner, "reads_captions", False))


def _space(network: Any) -> str:
    kind = "latents" if isinstance(network.first_stage, nn.Module) else "pixels"
    return f"{kind} {tuple(network.latent_shape)}"


def _remedy(module: Any) -> str:
    if isinstance(module.first_stage, nn.Module):
        return "with model.first_stage=null autoencoder=FILE of the model's"
    return "without an autoencoder"


def _channels(network: Any, module: Any) -> str:
    if network.image_shape[0] == module.image_shape[0]:
        return ""
    return f" data.channels={module.image_shape[0]}"


def _schedule(schedule: Any) -> str:
    return f"{type(schedule).__name__} with {schedule.end:g} times"
