"""Descriptions of the model, its training and the machine for a result, read off live objects."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import torch

from eval.result.cost import Cost
from eval.result.parse import build
from eval.result.record import Budget, Environment
from eval.result.subject import FirstStageRecord, GuidingNetwork, Subject
from zoo.averages.length import in_words
from zoo.checkpoint import sha256 as sha256_of
from zoo.guidance import Guidance, Unguided, networks
from zoo.module import DiffusionModule
from zoo.part import Part, config_of
from zoo.performance.flops import flops, parameters
from zoo.performance.usage import peak_memory
from zoo.sampler import Sampler
from zoo.system.device import device_name
from zoo.system.versions import git_commit, version_of, versions

_LIBRARIES = ("torchmetrics", "open_clip_torch", "torch-fidelity")


def subject(
    module: DiffusionModule,
    name: str,
    sampler: Sampler,
    guidance: Guidance,
    network_evaluations: dict[str, float],
    cost: Cost,
    facts: dict[str, Any],
    sha256: str | None,
) -> Subject:
    """Describes a model with the sampler and the guidance that its images were made with.

    Args:
        module: the diffusion model.
        name: the row's name.
        sampler: not necessarily the model's own.
        guidance: not necessarily the model's own.
        network_evaluations: per image, counted: under "" the model's, under their names those of
            the guidance's networks.
        cost: of ``eval.result.cost``.
        facts: the checkpoint's provenance; empty for a model that was never saved.
        sha256: of the checkpoint file.
    """
    return Subject(
        name=name,
        model=type(module).__name__,
        parameters=cost.parameters,
        flops_per_evaluation=cost.per_evaluation,
        flops_decode=cost.decode,
        sampler=settings(sampler, without=("num_steps", "grid")),
        grid=_function_name(sampler.grid),
        num_steps=sampler.num_steps,
        network_evaluations=sum(
            network_evaluations[name]
            for name in ["", *(n for n, net in networks(guidance) if hasattr(net, "denoiser"))]
        ),
        guidance=_guidance(guidance),
        weights=_weights(facts),
        weights_sha256=sha256,
        config_hash=config_hash(module),
        training_seconds=_seconds(facts),
        first_stage=_first_stage(cost, facts.get("autoencoder")),
        guidance_settings=all_settings(guidance),
        guided_by=[
            GuidingNetwork(
                name,
                type(network).__name__,
                _sha256(network),
                parameters(network),
                network_evaluations[name],
            )
            for name, network in networks(guidance)
        ],
    )


def autoencoder(
    module: Any, name: str, shape: Sequence[int], facts: dict[str, Any], sha256: str | None
) -> Subject:
    """Describes an autoencoder, which has no sampler and takes no steps.

    ``module`` is an ``Autoencoder`` or its first stage, ``shape`` is (C, H, W).
    """
    first_stage = getattr(module, "first_stage", module)
    device = next(first_stage.parameters()).device
    with torch.no_grad():
        latents = torch.zeros(1, *first_stage.latent_shape(tuple(shape)), device=device)
        decode = flops(lambda: first_stage.decode(latents))
    return Subject(
        name=name,
        model=type(module).__name__,
        parameters=parameters(first_stage),
        flops_per_evaluation=0,
        flops_decode=decode,
        sampler=None,
        grid=None,
        num_steps=0,
        network_evaluations=0.0,
        guidance=None,
        weights=_weights(facts),
        weights_sha256=sha256,
        config_hash=config_hash(module),
        training_seconds=_seconds(facts),
    )


def budget(facts: dict[str, Any]) -> Budget:
    """What the training used, from a checkpoint's provenance.

    Raises:
        ValueError: the provenance has a budget of another layout.
    """
    return build(Budget, facts.get("budget") or {}, "the checkpoint's budget")


def environment(device: torch.device) -> Environment:
    """The machine and its software, now."""
    kind = {"cuda": "gpu"}.get(device.type, device.type)
    numbers = {name: number or "absent" for name, number in versions().items()}
    numbers |= {library: version_of(library) for library in _LIBRARIES}
    return Environment(
        machine=device_name(kind),
        device=kind,
        threads=torch.get_num_threads(),
        versions={**numbers, "commit": git_commit() or "not a checkout"},
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        peak_memory_bytes=peak_memory(device),
    )


def settings(part: Part, without: tuple[str, ...] = ()) -> str:
    """A part's class and plain arguments in words.

    >>> from zoo.sampler import DDIM
    >>> settings(DDIM(10, eta=0.5), without=("num_steps", "grid"))
    'DDIM, eta 0.5'
    """
    config = config_of(part)
    words = [config.pop("_target_").rpartition(".")[2]]
    for key, value in config.items():
        if key in without:
            continue
        if isinstance(value, dict):
            value = str(value.get("_target_", value)).rpartition(".")[2]
        words.append(f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}")
    return ", ".join(words)


def config_hash(module: Part) -> str:
    """sha256 of the resolved architecture config."""
    return hashlib.sha256(json.dumps(config_of(module), sort_keys=True).encode()).hexdigest()


def _weights(facts: dict[str, Any]) -> str | None:
    """Averages as "EMA", with their length where it is not the training's main one; or "raw"."""
    weights, average = facts.get("weights"), facts.get("average") or {"main": True}
    if weights != "ema":
        return weights
    return "EMA" if average.get("main") else f"EMA, {in_words(average)}"


def _guidance(guidance: object) -> str:
    """The class in words, its scale, and what differs from the default: "classifier-free, scale 2".

    A network is named by the beginning of its file's sha256.
    """
    if isinstance(guidance, Unguided):
        return "none"
    words = [re.sub(r"(?<!^)(?=[A-Z])", "-", type(guidance).__name__).lower()]
    own_networks = getattr(guidance, "networks", {})
    for key, parameter in inspect.signature(type(guidance)).parameters.items():
        value = getattr(guidance, key, None)
        if key in own_networks:
            words.append(f"{key} {_sha256(value).rpartition(' ')[2][:12]}")
        elif key == "guidance" and not isinstance(value, Unguided):
            words.append(f"of {_guidance(value)}")
        elif key == "scale" or (key != "guidance" and value != parameter.default):
            words.append(f"{key} {_in_words(value)}")
    return ", ".join(words)


def _in_words(value: object) -> str:
    if isinstance(value, list | tuple):
        return " to ".join(_in_words(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def all_settings(guidance: Any) -> dict[str, Any]:
    """The guidance's config, with the sha256 of its file in place of a network."""
    config = config_of(guidance)
    for name, network in getattr(guidance, "networks", {}).items():
        config[name] = {"_target_": config[name]["_target_"], "sha256": _sha256(network)}
    if (inner := getattr(guidance, "guidance", None)) is not None:
        config["guidance"] = all_settings(inner)
    return config


def _sha256(network: Any) -> str:
    """Of its file; of its weights where it was never saved."""
    path = getattr(network, "loaded_from", None)
    if path is not None:
        return sha256_of(path)
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
    return f"of weights in no file: {digest.hexdigest()}"


def _first_stage(cost: Cost, facts: dict[str, Any] | None) -> FirstStageRecord | None:
    if not cost.first_stage_parameters:
        return None
    facts = facts or {}
    trained = facts.get("provenance") or {}
    return FirstStageRecord(
        sha256=facts.get("sha256") or "not recorded",
        parameters=cost.first_stage_parameters,
        images_seen=(trained.get("budget") or {}).get("images_seen"),
        training_seconds=_seconds(trained),
    )


def _seconds(facts: dict[str, Any]) -> float | None:
    seconds = facts.get("training_seconds")
    return None if seconds is None else float(seconds)


def _function_name(function: object) -> str:
    while isinstance(function, functools.partial):
        arguments = ", ".join(f"{k} {v}" for k, v in function.keywords.items())
        name = _function_name(function.func)
        return f"{name} ({arguments})" if arguments else name
    return str(getattr(function, "__name__", type(function).__name__))
