"""Protocols: how numbers are measured, as files with a name and a version.

A protocol of ``configs/protocol`` fixes counts, reference, labels, seeds, extractors and metrics.
What was measured by it bears its name; whoever changes a setting gets the change beside the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from eval.measure.setting import Generation
from eval.result.parse import field_differences
from eval.source.reference_set import SPLITS, ReferenceSet
from zoo.entry import compose

FLAT = (
    "num_images",
    "fid_counts",
    "labels",
    "seed",
    "reference",
    "held_out",
    "dtype",
    "batch_size",
)
"""Keys of a protocol that `zoo evaluate` knows without the group's name."""

_NO_MATTER = ("path", "download", "batch_size", "device")


def check(protocol: Mapping[str, Any], data: ReferenceSet) -> None:
    """Refuses a protocol of another data set, or with counts that are none.

    Args:
        protocol: the group's node, or a dict like it.
        data: what is compared with.

    Raises:
        ValueError: see above; the key is named.
    """
    meant = protocol["data"]
    if meant is not None and meant != data.name and protocol["reference"] in SPLITS:
        raise ValueError(
            f"protocol {protocol['name']} is about data={meant}, got data={data.name}: choose "
            f"data={meant}, or protocol=default"
        )
    counts = protocol["fid_counts"]
    if counts is not None and not isinstance(counts, list):
        raise ValueError(f"fid_counts is a list such as [360,1000], got {counts!r}")
    for key, least in (("num_images", 2), ("batch_size", 1), ("seed", 0)):
        if not isinstance(protocol[key], int) or protocol[key] < least:
            raise ValueError(f"{key} is a whole number from {least}, got {protocol[key]!r}")


def generation(protocol: Mapping[str, Any], **parts: Any) -> Generation:
    """How a protocol has images made.

    Args:
        protocol: the group's node, or a dict like it.
        parts: sampler, guidance and processes, which are no part of it.
    """
    keys = ("num_images", "labels", "seed", "batch_size")
    return Generation(**{key: protocol[key] for key in keys}, **parts)


def flattened(cfg: DictConfig) -> dict[str, Any]:
    """The protocol of a config of `zoo evaluate`, with the keys that were given flat."""
    whole: Any = OmegaConf.to_container(cfg, resolve=True)
    return {**whole["protocol"], **{key: whole[key] for key in FLAT}}


def title(cfg: DictConfig, protocol: dict[str, Any]) -> str:
    """``name vN``, and what differs from its file; "" for a protocol without a name.

    Args:
        cfg: of `zoo evaluate` or `zoo compare`, for extractors and metrics.
        protocol: what is used.
    """
    name = protocol["name"]
    if name is None:
        return ""
    told = f"{name} v{protocol['version']}"
    meant = compose("evaluate", [f"protocol={name}"])
    changed = [*field_differences(_plain(meant.protocol), protocol, ignored=_NO_MATTER)]
    for group in ("extractor", "metric"):
        ours, theirs = ({} if c.get(group) is None else _plain(c[group]) for c in (cfg, meant))
        changed += field_differences(theirs, ours, group, _NO_MATTER)
    return f"{told}, changed: {', '.join(name for name, *_ in changed)}" if changed else told


def _plain(node: Any) -> dict[str, Any]:
    found: Any = OmegaConf.to_container(node, resolve=True)
    return found
