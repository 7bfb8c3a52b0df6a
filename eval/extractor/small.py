"""Extractors trained on the data set at hand; their weights are files of the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from eval.extractor.extractor import DistinctTexts, in_pieces
from zoo import checkpoint
from zoo.data.stream import to_float
from zoo.models.small_clip import SmallClip as SmallClipModel
from zoo.models.small_extractor import SmallExtractor

_PIECE = 256  # images at a time: their activations stay in the cache


class Small:
    """64 features of a ``SmallExtractor``: FID without Inception, for small images.

    ``path`` is the file that ``zoo train model=small_extractor data=...`` wrote.

    Raises:
        ValueError: there is no such file, or another model in it.
    """

    model: ClassVar[str] = "small_extractor"
    """What ``zoo train`` calls the model in its file."""
    provides = ("pool", "logits")
    resize = "none: images of the size it was trained on"

    def __init__(self, path: str | Path, name: str = "small", device: str = "cpu") -> None:
        self.name = name
        self.network = _loaded(path, SmallExtractor, self.model).to(device)
        self.num_classes = self.network.num_classes
        self.sha256 = checkpoint.sha256(path)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """``pool`` (B, 64) and ``logits`` (B, classes) of uint8 images of the trained shape."""
        return in_pieces(
            images, _PIECE, lambda piece: self.network(_scaled(piece, self.network)), self.name
        )


class SmallClip:
    """Image and caption features of a small CLIP trained on the data set's captions.

    ``path`` is the file that ``zoo train model=small_clip data=...`` wrote.

    Raises:
        ValueError: there is no such file, or another model in it.
    """

    model: ClassVar[str] = "small_clip"
    """What ``zoo train`` calls the model in its file."""
    resize = "none: images of the size it was trained on; one channel is repeated three times"

    def __init__(self, path: str | Path, name: str = "small_clip", device: str = "cpu") -> None:
        self.name = name
        self.network = _loaded(path, SmallClipModel, self.model).to(device)
        self.sha256 = checkpoint.sha256(path)
        self.text = DistinctTexts(self.network.encode_text)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """``pool`` (B, D), of unit length, in the captions' space."""
        return in_pieces(
            images,
            _PIECE,
            lambda piece: {"pool": self.network.encode_image(_scaled(piece, self.network))},
            self.name,
        )


def _loaded(path: str | Path, kind: type, model: str) -> Any:
    if not Path(path).is_file():
        raise ValueError(
            f"{path}: no such file; `zoo train model={model} data=...` makes it for a data set, "
            f"and extractor.{model.removesuffix('_extractor')}.path=FILE names it; extractor=[...] "
            "chooses others"
        )
    network = checkpoint.load(path)
    if not isinstance(network, kind):
        raise ValueError(f"{path} holds a {type(network).__name__}, not a {kind.__name__}")
    return network


def _scaled(images: Tensor, network: Any) -> Tensor:
    """uint8 to [-1, 1], on the network's device."""
    return to_float(images.to(network.device))
