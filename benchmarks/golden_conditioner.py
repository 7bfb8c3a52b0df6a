"""Outputs of latent diffusion's BERTEmbedder, written for the tests to compare with.

    ZOO_REFERENCES=/path/with/checkouts python benchmarks/golden_conditioner.py

The path holds CompVis+latent-diffusion, which needs einops.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent))
from _formula import fill, values

REFERENCES = Path(os.environ.get("ZOO_REFERENCES", "."))
GOLDEN = Path(__file__).parents[1] / "tests" / "golden"


def main() -> None:
    sys.path.insert(0, str(REFERENCES / "CompVis+latent-diffusion"))
    from ldm.modules.x_transformer import Encoder, TransformerWrapper

    theirs = fill(
        TransformerWrapper(num_tokens=30, max_seq_len=9, attn_layers=Encoder(dim=24, depth=2))
    )
    ids = (values("ids", 2, 9) * 15 + 15).long()
    with torch.no_grad():
        tokens = theirs.eval()(ids, return_embeddings=True)
    GOLDEN.mkdir(exist_ok=True)
    save_file({"bert.ids": ids, "bert.tokens": tokens}, GOLDEN / "conditioner.safetensors")


if __name__ == "__main__":
    main()
