"""How well the shipped autoencoder gives held-out digits back: PSNR in dB, images in [0, 1].

python benchmarks/digits_autoencoder.py
"""

from __future__ import annotations

import torch
from _table import write

import zoo
from zoo import paths
from zoo.data.digits import Digits
from zoo.data.stream import to_float
from zoo.models.autoencoder import peak_signal_to_noise


@torch.inference_mode()
def main() -> None:
    """Reconstructs both splits."""
    module = zoo.load(paths.checkpoints() / "digits/autoencoder.safetensors")
    data = Digits()
    data.setup()
    rows = []
    for name, split in (("train", data.train), ("held out", data.test)):
        images = to_float(split.images)
        found = peak_signal_to_noise(module.reconstruct(images), images)
        rows.append({"split": name, "psnr_db": float(found.mean()), "images": len(images)})
    write(__file__, rows)


if __name__ == "__main__":
    main()
