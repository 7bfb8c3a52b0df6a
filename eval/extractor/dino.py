"""DINOv2's features, for FD-DINOv2, with either of the two resizes that are in use."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from eval.extractor.extractor import in_pieces, rgb
from eval.extractor.weights import digest, find, own, weights_of

WIDTHS = {"small": 384, "base": 768, "large": 1024, "giant": 1536}
"""Features of each published size; FD-DINOv2 means "large"."""

_SIDE = 224
_PATCH = 14
_PIECE = 16
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_OFFSET = 0.1  # of Meta's resampled positions, see _positions
_PAGE = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{0}14/dinov2_vit{0}14_pretrain.pth"


class DinoV2:
    """The class token of DINOv2 (arXiv:2304.07193) after its last norm, at 224x224.

    With ViT-L/14 its Fréchet distance is FD-DINOv2 (arXiv:2306.04675); images are prepared as in
    that paper's code, dgm-eval. The network is loaded at its first use; missing weights fail at
    once.

    Args:
        path: the weights' file: Meta's own, Hugging Face's, or timm's; None looks into the zoo's
            cache, torch's and Hugging Face's.
        sha256: expected instead of the published file's, for weights of your own.
        download: fetch the published file if it is missing.
        size: "large", or "small", "base" and "giant", which need a path.
        device: where it computes.

    Raises:
        ValueError: the weights are missing, torn, or of another sha256.
    """

    provides = ("pool",)
    resize = (
        "bicubic with antialiasing to 224x224 by Pillow, rounded to 8 bits, as dgm-eval does it; "
        "one channel is repeated three times"
    )
    _stem = "dinov2"

    def __init__(
        self,
        path: str | Path | None = None,
        sha256: str | None = None,
        download: bool = False,
        size: str = "large",
        device: str = "cpu",
    ) -> None:
        if size not in WIDTHS:
            raise ValueError(f"DINOv2's sizes are {', '.join(WIDTHS)}, got '{size}'")
        self.name = self._stem + ("" if size == "large" else f"_{size}")
        self.size = size
        self.device = device
        self.file = _find(size, path, sha256, download)
        self.sha256 = digest(self.file)

    @functools.cached_property
    def network(self) -> Any:
        """timm's network with these weights, in evaluation mode."""
        state = _state(self.file, self.size)
        with torch.device("meta"):  # no random weights first: drawing a billion takes a while
            network = _architecture(self.size)
        try:
            network.load_state_dict(state, assign=True)
        except RuntimeError as error:
            text = " ".join(str(error).split())
            raise ValueError(f"{self.file}: not weights of DINOv2 {self.size} ({text})") from error
        return network.to(self.device).eval().requires_grad_(False)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """``pool`` (B, 1024) of uint8 images; for other sizes see ``WIDTHS``."""
        return in_pieces(images, _PIECE, self._features, self.name)

    def resized(self, images: Tensor) -> Tensor:
        """Images (B, 3, 224, 224) float32 in [0, 255] of uint8 ones (B, 3, H, W)."""

        def resize(image: Tensor) -> np.ndarray:
            picture = Image.fromarray(image.permute(1, 2, 0).numpy())
            return np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))

        pixels = np.stack([resize(image) for image in images.cpu()])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device, torch.float32)

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        x = self.resized(rgb(images)) / 255
        mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (_MEAN, _STD))
        return {"pool": self.network.forward_features((x - mean) / std)[:, 0]}


class Edm2DinoV2(DinoV2):
    """The same network after EDM2's resize (arXiv:2312.02696): not rounded to 8 bits."""

    resize = (
        "bicubic with antialiasing to 224x224 in float32 by torch, as EDM2 does it; one channel is "
        "repeated three times"
    )
    _stem = "dinov2_edm2"

    def resized(self, images: Tensor) -> Tensor:
        x = images.to(self.device, torch.float32)
        size = (_SIDE, _SIDE)
        return torch.nn.functional.interpolate(x, size, mode="bicubic", antialias=True)


def _architecture(size: str) -> Any:
    import timm

    return timm.create_model(f"vit_{size}_patch14_dinov2", img_size=_SIDE, num_classes=0)


def _find(size: str, path: str | Path | None, sha256: str | None, download: bool) -> Path:
    if size == "large":
        return find("dinov2", path, sha256=sha256, download=download)
    if path is None:
        page = _PAGE.format(size[0])
        raise ValueError(f"weights of DINOv2 {size} are not searched for: name their path; {page}")
    return own(path, sha256)


def _state(file: Path, size: str) -> dict[str, Tensor]:
    """The weights under Meta's names, which are timm's, with positions of a 16x16 grid."""
    state = _meta_names(_read(file))
    width = state["cls_token"].shape[-1] if "cls_token" in state else None
    if width != WIDTHS[size] or "pos_embed" not in state:
        model = next((f"DINOv2 {name}" for name, w in WIDTHS.items() if w == width), "no DINOv2")
        raise ValueError(f"{file} holds {model}, not DINOv2 {size}")
    state["pos_embed"] = _positions(state["pos_embed"], _SIDE // _PATCH)
    return state


def _read(file: Path) -> dict[str, Tensor]:
    with weights_of("DINOv2", file):
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    if not (isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())):
        raise ValueError(f"{file}: not weights of DINOv2 (no table of tensors)")
    return state


def _meta_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of Meta, Hugging Face or timm under Meta's names; others stay as they are."""
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    renamed.pop("mask_token", None)  # for training alone
    for key in [key for key in renamed if ".attn.query." in key]:
        parts = [renamed.pop(key.replace("query", part)) for part in ("query", "key", "value")]
        renamed[key.replace("query", "qkv")] = torch.cat(parts)
    return renamed


_NAMES = (
    (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.(weights_in|w12)\.", ".mlp.fc1."),
    (r"\.mlp\.(weights_out|w3)\.", ".mlp.fc2."),
    (r"^layernorm\.", "norm."),
)


def _positions(embedding: Tensor, side: int) -> Tensor:
    """Position embeddings (1, 1 + side^2, D) of (1, 1 + n^2, D), as Meta's own code resamples them.

    It passes torch a scale of (side + 0.1) / n, which moves every sampling point a little; the
    published numbers were measured so. transformers and timm resample differently.
    """
    grid_side = round((embedding.shape[1] - 1) ** 0.5)
    if grid_side == side:
        return embedding
    token, grid = embedding[:, :1].float(), embedding[:, 1:].float()
    grid = torch.nn.functional.interpolate(
        grid.unflatten(1, (grid_side, grid_side)).permute(0, 3, 1, 2),
        scale_factor=((side + _OFFSET) / grid_side,) * 2,
        mode="bicubic",
    )
    return torch.cat([token, grid.flatten(2).transpose(1, 2)], dim=1)
