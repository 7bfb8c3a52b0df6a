"""What fixes an encoding: the network's weights and arguments, hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from zoo.part import Part, config_of


def network_digest(network: nn.Module, leave_out: Collection[str] = ()) -> str:
    """sha256 of a network's class, arguments and tensors.

    Args:
        network: parameters and buffers count, whatever device they are on.
        leave_out: names of arguments and of tensors on which its output does not depend.
    """
    config: dict[str, Any] = {
        "_target_": f"{type(network).__module__}.{type(network).__qualname__}"
    }
    if isinstance(network, Part):
        config = {k: v for k, v in config_of(network).items() if k not in leave_out}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, value in sorted(network.state_dict().items()):
        if name not in leave_out:
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            plain = value.detach().cpu().contiguous().reshape(-1)
            digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def content_digest(value: Mapping[str, Any]) -> str:
    """sha256 of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
