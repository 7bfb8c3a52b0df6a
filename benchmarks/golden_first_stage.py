"""Outputs of the reference's codebook, written for the tests to compare with.

    ZOO_REFERENCES=/path/with/checkouts python benchmarks/golden_first_stage.py

The path holds CompVis+taming-transformers and CompVis+latent-diffusion; they need einops.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from _formula import fill, values

REFERENCES = Path(os.environ.get("ZOO_REFERENCES", "."))
GOLDEN = Path(__file__).parents[1] / "tests" / "golden"


def codebook() -> dict[str, Tensor]:
    """VectorQuantizer2 of taming-transformers, with the beta placement that LDM trained with."""
    from taming.modules.vqvae.quantize import VectorQuantizer2

    theirs = fill(VectorQuantizer2(16, 3, beta=0.25))
    latents = values("latents", 2, 3, 4, 4).requires_grad_()
    codes, loss, (_, _, indices) = theirs(latents)
    (loss + (codes * values("pull", 2, 3, 4, 4)).sum()).backward()
    return {
        "codebook.latents": codes.detach(),
        "codebook.indices": indices.view(2, 4, 4),
        "codebook.loss": loss.detach(),
        "codebook.input_gradient": latents.grad,
        "codebook.weight_gradient": theirs.embedding.weight.grad,
    }


def main() -> None:
    for name in ("CompVis+taming-transformers", "CompVis+latent-diffusion"):
        sys.path.insert(0, str(REFERENCES / name))
    torch.set_grad_enabled(True)
    GOLDEN.mkdir(exist_ok=True)
    save_file(codebook(), GOLDEN / "first_stage.safetensors")


if __name__ == "__main__":
    main()
