"""What ``zoo train`` keeps of frozen networks: where, and whether that is worth it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from zoo import paths
from zoo.conditioner.text import TextConditioner
from zoo.data.image_set import ImageSet
from zoo.encodings.captions import Embeddings, captions_request, distinct
from zoo.encodings.entry import Entry, entry, say
from zoo.encodings.latents import Latents, latents_request
from zoo.encodings.request import Request
from zoo.module import DiffusionModule
from zoo.system.device import accelerator, torch_device
from zoo.system.group import ranks


def use_encodings(cfg: DictConfig, module: Any, data: Any) -> list[Entry]:
    """Lets a training read latents and captions' embeddings that are kept, written where missing.

    ``latent_cache`` and ``caption_cache`` are a path, "off", or "auto": the cache's own folder, by
    content, where the training reads more than there is to encode, or it is there already. Where
    something stands against it, "auto" says so in a line and the training encodes in each step.

    Returns:
        The entries in use.

    Raises:
        ValueError: a cache that was asked for cannot be, or one is damaged or of something else.
    """
    device = _device(cfg)
    entries = []
    if (kept := _settled(cfg, _latents(cfg, module, data, device))) is not None:
        data.moments = Latents(kept, data.flip)
        module.first_stage.to("cpu")  # Lightning moves the model later
        entries.append(kept)
    if (kept := _settled(cfg, _embeddings(cfg, module, data, device))) is not None:
        module.conditioner.embeddings = Embeddings(kept, _captions(data))
        module.conditioner.to("cpu")
        entries.append(kept)
    if cfg.cache_only and not entries:
        raise ValueError(
            "cache_only=true: this training has nothing to keep; a latent model with "
            "autoencoder=FILE has, and one with a frozen text encoder"
        )
    return entries


@dataclass(frozen=True)
class _Candidate:
    """What a training might read instead of encoding it.

    Attributes:
        key: of the setting that says where.
        relevant: whether the training encodes anything of this kind.
        obstacle: why it cannot be kept, or None.
        count: how much there is to encode.
        quick: whether ``request`` takes no time.
        request: what to keep.
    """

    key: str
    relevant: bool
    obstacle: str | None
    count: int
    quick: bool
    request: Callable[[], Request]


def _latents(cfg: DictConfig, module: Any, data: Any, device: torch.device) -> _Candidate:
    train, count, obstacle = getattr(data, "train", None), 0, None
    remedy = "latents are not cached, they are encoded in each step"
    if getattr(data, "uncut", None) is not None:
        obstacle = f"data.crop_from cuts another square in each epoch: {remedy}"
    elif not isinstance(train, ImageSet):
        obstacle = f"{data.name} does not give images by their number: {remedy}"
    elif train.substitutes:
        obstacle = f"data.on_broken=skip has others in the place of broken images: {remedy}"
    else:
        count = len(train) * (1 + data.flip) + len(data.test)
    first_stage = getattr(module, "first_stage", None)
    return _Candidate(
        "latent_cache",
        isinstance(module, DiffusionModule) and isinstance(first_stage, nn.Module),
        obstacle,
        count,
        getattr(train, "in_memory", False),
        lambda: latents_request(module.first_stage, data, cfg.cache_dtype, device),
    )


def _embeddings(cfg: DictConfig, module: Any, data: Any, device: torch.device) -> _Candidate:
    conditioner, captions, obstacle = getattr(module, "conditioner", None), [], None
    relevant = isinstance(conditioner, TextConditioner) and not conditioner.trainable
    if relevant and not isinstance(getattr(data.train, "captions", None), list):
        obstacle = f"{data.name} has no list of its captions: they are encoded in each step"
    elif relevant:
        captions = _captions(data)
    return _Candidate(
        "caption_cache",
        relevant,
        obstacle,
        len(captions),
        True,
        lambda: captions_request(module.conditioner, captions, data.name, cfg.cache_dtype, device),
    )


def _captions(data: Any) -> list[str]:
    return distinct([*data.train.all_captions, *(data.test.all_captions or ())])


def _settled(cfg: DictConfig, candidate: _Candidate) -> Entry | None:
    """The entry to use, or None."""
    choice = str(cfg[candidate.key])
    if choice.lower() in ("off", "false"):  # yaml reads off as false
        return None
    if candidate.obstacle is not None or not candidate.relevant:
        model = cfg.model._target_.rpartition(".")[2]
        text = candidate.obstacle if candidate.relevant else f"this {model} encodes no such thing"
        if choice != "auto":
            raise ValueError(f"{candidate.key}={choice}: {text}; leave {candidate.key} out")
        if candidate.relevant:
            say(str(text))
        return None
    if choice != "auto" or cfg.cache_only:
        request = candidate.request()
        try:
            return _said(entry(_folder(request) if choice == "auto" else Path(choice), request))
        except OSError as error:
            raise ValueError(f"{candidate.key}={choice}: {error}") from error
    return _worthwhile(cfg, candidate)


def _worthwhile(cfg: DictConfig, candidate: _Candidate) -> Entry | None:
    """The cache's own entry, where it is worth its making; a full disk costs it, not the run."""
    reads = cfg.data.batch_size * cfg.trainer.accumulate_grad_batches * cfg.trainer.max_steps
    much = reads > candidate.count
    if not much and not candidate.quick:
        return None
    request = candidate.request()
    if not much and not _folder(request).exists():
        return None
    try:
        return _said(entry(_folder(request), request))
    except OSError as error:
        say(f"{request.kind} are encoded in each step: {error}")
        return None


def _folder(request: Request) -> Path:
    return paths.cache() / request.kind / request.key


def _said(kept: Entry) -> Entry:
    say(f"{kept.kind} are read from {kept.folder}")
    return kept


def _device(cfg: DictConfig) -> torch.device:
    """The device of this process, as Lightning will choose it."""
    device = torch_device(accelerator(cfg.trainer.accelerator))
    if str(device) != "cuda":
        return device
    devices = cfg.trainer.devices
    chosen = devices if not isinstance(devices, int | str) else range(torch.cuda.device_count())
    return torch.device("cuda", chosen[ranks.place().local_rank % len(chosen)])
