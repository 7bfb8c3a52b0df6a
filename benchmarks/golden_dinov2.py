"""Features of a tiny DINOv2 by Meta's own code, for the tests to compare with.

    ZOO_REFERENCES=/path/with/checkouts python benchmarks/golden_dinov2.py

The path holds facebookresearch+dinov2. Weights and images are a formula; positions are those of 518
pixels, resampled to 224 by the reference. Of each case the class token after the last norm is kept.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from _formula import values
from _golden import Writer

REFERENCES = Path(os.environ.get("ZOO_REFERENCES", "."))
WIDTH, DEPTH, HEADS = 24, 2, 2
CASES = {"mlp": "small", "swiglu": "giant"}
"""Each kind of feed-forward layer, and a published size that has it."""


def images() -> Tensor:
    """Two images (2, 3, 32, 32) uint8."""
    return ((values("images", 2, 3, 32, 32) + 1) * 128).byte()


def prepared(resized: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 255] as the network takes them."""
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=resized.dtype).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=resized.dtype).view(3, 1, 1)
    return (resized / 255 - mean) / std


def by_pillow(image: Tensor) -> Tensor:
    """dgm-eval's resize: torchvision's of a Pillow image, to a square of 224."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import pil_to_tensor, resize, to_pil_image

    return pil_to_tensor(resize(to_pil_image(image), [224, 224], InterpolationMode.BICUBIC))


def main() -> None:
    """Writes tests/golden/dinov2.safetensors."""
    os.environ["XFORMERS_DISABLED"] = "1"
    sys.path.insert(0, str(REFERENCES / "facebookresearch+dinov2"))
    from dinov2.models.vision_transformer import DinoVisionTransformer

    resized = torch.stack([by_pillow(image) for image in images()])
    writer = Writer()
    for case in CASES:
        theirs = DinoVisionTransformer(
            img_size=518,
            patch_size=14,
            embed_dim=WIDTH,
            depth=DEPTH,
            num_heads=HEADS,
            init_values=1.0,
            ffn_layer=case,
            block_chunks=0,
        )
        writer.add(
            case,
            {"inputs": {"unit": [1]}},
            theirs,
            lambda network, given: network(prepared(resized.to(given["unit"].dtype))),
            stride=1,
        )
    writer.write("dinov2")


if __name__ == "__main__":
    main()
