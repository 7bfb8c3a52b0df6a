"""LPIPS: how different two images look to VGG16 (arXiv:1801.03924)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

# VGG16's convolutions in units of the first one's width, a pooling in front of each later stage
_STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's, for [-1, 1]
_WHERE = (
    "torchvision's vgg16-397923af.pth, and vgg.pth of the lpips package (lpips/weights/v0.1) or of "
    "taming-transformers"
)


class LPIPS(nn.Module):
    """Squared differences of normalised VGG16 features, weighted by learned linear layers.

    Frozen, and random until weights are loaded: ``lpips`` builds one from files.

    Args:
        width: of VGG16's first layer, 64.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, self.ends = 3, []
        for stage in _STAGES:
            layers += [nn.MaxPool2d(2)] if layers else []
            for multiple in stage:
                layers += [nn.Conv2d(before, multiple * width, 3, padding=1), nn.ReLU()]
                before = multiple * width
            self.ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        self.linear = nn.ModuleList(
            nn.Conv2d(stage[-1] * width, 1, 1, bias=False) for stage in _STAGES
        )
        for linear in self.linear:
            nn.init.uniform_(linear.weight, 0.0, 0.1)  # type: ignore[arg-type]
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance of images a and b, (B, 1 or 3, H, W) in [-1, 1]: (B,)."""
        distance = a.new_zeros(len(a))
        for linear, f, g in zip(self.linear, self._stages(a), self._stages(b), strict=True):
            difference = (_unit(f) - _unit(g)).square()
            distance = distance + linear(difference).mean((1, 2, 3))
        return distance

    def _stages(self, images: Tensor) -> list[Tensor]:
        x = (images.expand(-1, 3, -1, -1) - self.shift) / self.scale
        outputs = []
        for index, layer in enumerate(self.features, start=1):
            x = layer(x)
            if index in self.ends:
                outputs.append(x)
        return outputs


def lpips(vgg_file: str | None, linear_file: str | None) -> LPIPS:
    """LPIPS with published weights, from local files; nothing is ever downloaded.

    Args:
        vgg_file: torchvision's VGG16, ``.pth`` or ``.safetensors``.
        linear_file: the five linear layers, as the lpips package and taming-transformers have them.

    Raises:
        ValueError: a file is missing or holds something else.
    """
    network = LPIPS()
    state = network.state_dict()
    vgg, linear = _read(vgg_file, "vgg_file"), _read(linear_file, "linear_file")
    for name in state:
        if name.startswith("features."):
            state[name] = _weight(vgg, name, state[name], vgg_file)
        elif name.startswith("linear."):
            theirs = f"lin{name.split('.')[1]}.model.1.weight"
            state[name] = _weight(linear, theirs, state[name], linear_file)
    network.load_state_dict(state)
    return network


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _read(path: str | None, argument: str) -> dict[str, Tensor]:
    if path is None or not Path(path).is_file():
        raise ValueError(
            f"the perceptual loss needs {argument}, got {path}: give the paths of {_WHERE}"
        )
    if Path(path).suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _weight(state: dict[str, Tensor], name: str, like: Tensor, path: str | None) -> Tensor:
    if name not in state or state[name].shape != like.shape:
        got = tuple(state[name].shape) if name in state else "nothing"
        raise ValueError(
            f"{path}: '{name}' should be {tuple(like.shape)}, got {got}: the files are {_WHERE}"
        )
    return state[name]
