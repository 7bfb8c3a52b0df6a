"""Diffusers' pipelines scale latents by one number; a shift and a scale per channel fold away.

The convolutions on either side of a latent take them up. That rounds some weights, so a folder also
keeps the originals, in a separate file that diffusers ignores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zoo.checkpoint.fit import name_list

UNFOLDED = "unfolded.safetensors"
_WEIGHTS = (
    "quant_conv.weight",
    "quant_conv.bias",
    "post_quant_conv.weight",
    "post_quant_conv.bias",
    "codebook.weight",
)
_SCALES = ("shift", "scale")


def folded(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], float]:
    """Weights with which latents need no shift and one scale, and that scale.

    Args:
        state: of a KLAutoencoder or a VQAutoencoder, with ``shift`` and ``scale``.

    Returns:
        Tensors under our names in place of those in ``state``, none where nothing is to fold,
        computed in float64 and rounded once; and the scale.

    Raises:
        ValueError: a codebook's channels are scaled differently, which changes the nearest code.
    """
    shift, scale = (state[name].detach().flatten().double().cpu() for name in _SCALES)
    ratio = scale / scale[0]
    common = float(str(state["scale"].flatten()[0].cpu().numpy()))  # 0.18215, not 0.1821500062...
    if not shift.any() and bool((ratio == 1).all()):
        return {}, common
    new = {
        name: state[name].detach().cpu().to(torch.float64, copy=True)
        for name in _WEIGHTS
        if name in state
    }
    channels = len(shift)
    if "codebook.weight" in new:
        if bool((ratio != 1).any()):
            raise ValueError(
                "diffusers has one scaling_factor for all channels, those of this VQ autoencoder "
                f"are scaled by {scale.tolist()}: folded into its weights they would change which "
                "code is the nearest"
            )
        new["codebook.weight"] -= shift
    else:
        new["quant_conv.bias"][channels:] += 2 * ratio.log()  # the log variance
    mean = new["quant_conv.bias"][:channels]
    mean.sub_(shift).mul_(ratio)
    new["quant_conv.weight"][:channels] *= ratio[:, None, None, None]
    post = new["post_quant_conv.weight"]
    new["post_quant_conv.bias"] += post[:, :, 0, 0] @ shift
    post /= ratio[:, None, None]
    return {name: tensor.to(state[name].dtype) for name, tensor in new.items()}, common


def unfolded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that ``folded`` replaces, shift and scale: the content of ``UNFOLDED``."""
    return {
        name: state[name].detach().cpu().contiguous()
        for name in (*_WEIGHTS, *_SCALES)
        if name in state
    }


def read_unfolded(folder: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights before folding, if folding them still gives those in ``state``.

    Args:
        folder: of the autoencoder.
        state: what diffusers' file and config say, under our names.

    Returns:
        Tensors in place of those in ``state``; none where the folder has no such file, or where the
        weights or the scale have been changed since.

    Raises:
        ValueError: the file cannot be read, or is not for this autoencoder.
    """
    path = folder / UNFOLDED
    if not path.is_file():
        return {}
    try:
        before = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: {error}") from error
    after = unfolded(state)
    if before.keys() != after.keys() or any(before[k].shape != after[k].shape for k in after):
        raise ValueError(f"{path}: is not for this autoencoder, holds {name_list(before)}")
    again, common = folded(before)
    scales = {"shift": torch.zeros_like(before["shift"]), "scale": before["scale"] * 0 + common}
    same = all(torch.equal(after[k], (again | scales)[k]) for k in (again | scales))
    return before if same else {}
