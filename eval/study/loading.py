"""The objects of a composed config: data, models, extractors, metrics, the cache."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from eval.extractor.extractor import Extractor
from eval.measure.cache import Cache
from eval.measure.plan import MetricFactory
from eval.source import ReferenceSet, open_images
from eval.source import reference_set as open_reference
from eval.source.reference_set import SPLITS
from zoo import checkpoint
from zoo.averages.file import average_file
from zoo.checkpoint.published import checkpoint_file
from zoo.data import ImageData
from zoo.module import DiffusionModule
from zoo.performance.compiler import compile_denoiser
from zoo.performance.layout import ChannelsLast, arrange
from zoo.system.device import torch_device

DTYPES = ("float32", "bfloat16", "float64")


def plain_values(cfg: DictConfig) -> dict[str, Any]:
    """The config as resolved plain values."""
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    return values


def dataset(cfg: DictConfig) -> ImageData:
    """The data set of ``cfg.data``, loaded."""
    data: ImageData = instantiate(cfg.data, _convert_="all")
    data.prepare_data()
    data.setup()
    return data


def reference_set(cfg: DictConfig, protocol: Mapping[str, Any]) -> ReferenceSet:
    """A protocol's reference: splits of ``cfg.data``, or stored images or statistics.

    Raises:
        ValueError: a file is missing or broken, or both splits are the same.
    """
    reference, held_out = protocol["reference"], protocol["held_out"]
    if reference not in SPLITS:
        return open_reference(reference, held_out)
    data = dataset(cfg)
    if held_out in (None, *SPLITS):
        return ReferenceSet.of(data, reference, held_out)
    images = open_images(held_out, data.shape)
    return replace(ReferenceSet.of(data, reference), test=images, held_out=held_out)


def diffusion_model(
    path: Path, device: str, trust: Sequence[str] = (), dtype: str | None = None
) -> DiffusionModule:
    """The model in a file, which must generate images; see ``model``.

    Raises:
        ValueError: it does not.
    """
    module = model(path, device, trust, dtype)
    if not isinstance(module, DiffusionModule):
        raise ValueError(f"{path} holds a {type(module).__name__}, which generates no images")
    return module


def model(
    path: Path,
    device: str,
    trust: Sequence[str] = (),
    dtype: str | None = None,
    channels_last: ChannelsLast = "auto",
    compile: bool = False,
) -> nn.Module:
    """The model in a file, on a device; in another number format where ``dtype`` says so.

    Channels-last images are the same numbers up to rounding, a quarter more of them per second.

    Raises:
        ValueError: there is no such file or format.
    """
    if dtype not in (None, *DTYPES):
        raise ValueError(f"dtype is one of {', '.join(DTYPES)}, got {dtype!r}")
    module: Any = checkpoint.load(path, trust)
    if dtype is not None:
        module = module.to(dtype=getattr(torch, dtype))
    module.channels_last = channels_last
    arrange(module, channels_last, torch_device(device))
    if compile:
        compile_denoiser(module, torch_device(device))
    return module.to(torch_device(device))


def check_subject(cfg: DictConfig) -> None:
    """Refuses a config without a subject, or of a file that does not suit, before data are read.

    Raises:
        ValueError: see above.
    """
    if (cfg.checkpoint is None) == (cfg.images is None):
        raise ValueError(
            "give checkpoint=FILE (or the name of one that ships, such as digits/ddpm), or "
            "images=FOLDER"
        )
    if cfg.checkpoint is not None:
        path = one_file(cfg.checkpoint, cfg.ema)
        if cfg.reference in SPLITS:
            check_shape(path, cfg.data)
        return
    for key, unset in {"devices": 1, "reconstruct": "mean", "ema": None}.items():
        _check_unset(cfg, key, unset)
    for key in ("num_images", "labels", "dtype"):
        _check_unset(cfg, key, cfg.protocol[key])


def _check_unset(cfg: DictConfig, key: str, unset: Any) -> None:
    """Refuses a setting of generated images beside stored ones."""
    if cfg[key] != unset:
        raise ValueError(
            f"{key}={cfg[key]}: the images of images={cfg.images} are measured as they are, all of "
            "them, so it would do nothing"
        )


def one_file(name: object, ema: float | None = None) -> Path:
    """The file of one saved model, perhaps of another average of its weights.

    Raises:
        ValueError: there is none, or several are named.
    """
    if isinstance(name, str) and is_pattern(name):
        raise ValueError(f"checkpoint is one file here, got {name}")
    return average_file(name, ema)


def is_pattern(text: str) -> bool:
    """Whether a text is a pattern of files, such as runs/*, rather than one of them."""
    return glob.has_magic(text) and not Path(text).exists()


def check_shape(path: Path, data: DictConfig) -> None:
    """Refuses a model of images of another size than the data's, by the file's header alone.

    Raises:
        ValueError: the sizes differ.
    """
    facts = checkpoint.provenance(path).get("data") or {}
    shape = checkpoint.config(path).get("image_shape") or facts.get("shape")
    sizes = [data.get("channels"), data.get("image_size"), data.get("image_size")]
    if shape is None or None in sizes or list(shape) == sizes:
        return
    name = facts.get("name")
    trained = "is for images of" if name is None else f"was trained on {name}, images of"
    texts = ["x".join(map(str, size)) for size in (shape, sizes)]
    remedy = "choose its data=..." if name in (None, data.name) else f"choose data={name}"
    raise ValueError(f"{path} {trained} {texts[0]}, but data={data.name} is {texts[1]}: {remedy}")


def other_data(facts: dict[str, Any], data: DictConfig, fingerprint: str) -> str:
    """A remark where a model was trained on other images than these; else ""."""
    trained = (facts.get("budget") or {}).get("data_fingerprint")
    if trained in (None, fingerprint):
        return ""
    name = (facts.get("data") or {}).get("name") or "other data"
    if name == data.name and (":" in trained) != (":" in fingerprint):
        return (
            f"cannot be told to be of the images of data={name}: one is known by its shards alone"
        )
    other = "other images of that name" if name == data.name else name
    return f"was trained on {other}, not on the images of data={data.name}"


def extractors(cfg: DictConfig, device: str) -> list[Extractor]:
    """The extractors of ``cfg.extractor``.

    Raises:
        ValueError: an extractor's weights are missing, or its yaml has no package of its own.
    """
    return [extractor(node, device) for node in _entries(cfg, "extractor")]


def extractor(node: DictConfig, device: str) -> Extractor:
    """The extractor of one config.

    Raises:
        ValueError: its weights are missing.
    """
    where = {"device": str(torch_device(device))}
    if model_of(node) is not None:  # perhaps one that ships
        where["path"] = str(shipped_or_as_given(node.path))
    try:
        return instantiate(node, **where, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):
            raise ValueError(str(error.__cause__)) from error
        raise


def model_of(node: Any) -> str | None:
    """The ``zoo train`` model behind an extractor, or None where its weights are published."""
    try:
        return getattr(get_object(node._target_), "model", None)
    except ImportError:  # instantiating it explains the error
        return None


def metrics(cfg: DictConfig) -> list[MetricFactory]:
    """The metrics of ``cfg.metric``, as partials without a reference.

    Raises:
        ValueError: a metric's yaml has no package of its own.
    """
    return [instantiate(node, _convert_="all") for node in _entries(cfg, "metric")]


def _entries(cfg: DictConfig, group: str) -> list[DictConfig]:
    """The configs of a group that allows several choices."""
    nodes = cfg.get(group) or {}
    if "_target_" in nodes:
        raise ValueError(
            f"the yaml of {nodes['_target_']} in {group}=[...] has no place of its own: its "
            f"first line is '# @package {group}.NAME'"
        )
    return list(nodes.values())


def cache(cfg: DictConfig) -> Cache | None:
    """The cache of evaluations, unless ``cache=false``."""
    return Cache() if cfg.cache else None


def shipped_or_as_given(path: str) -> Path:
    """The file of a checkpoint that ships under this name, else the path itself."""
    try:
        return checkpoint_file(path)
    except ValueError:
        return Path(path)
