"""How often the guided latent model draws the digit it was asked for, over the guidance scale.

    python benchmarks/digits_guidance.py [--checkpoint FILE] [--per-class 100]

Judged by scikit-learn's SVC (gamma 0.001, C 10) trained on the 8x8 originals of the train split;
generated images are averaged back to 8x8. Two seeds.
"""

from __future__ import annotations

import argparse
from statistics import mean

import torch
from _table import write
from sklearn.svm import SVC

import zoo
from zoo import paths
from zoo.data.source.digits import originals, to_originals
from zoo.guidance import ClassifierFree

SCALES = (0.0, 1.0, 1.5, 2.0, 3.0)


def main() -> None:
    """Generates at every scale and lets the judge decide."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = paths.checkpoints() / "digits/guided_latent_diffusion.safetensors"
    parser.add_argument("--checkpoint", default=str(default))
    parser.add_argument("--per-class", type=int, default=100)
    options = parser.parse_args()
    module = zoo.load(options.checkpoint)
    train, test = originals()
    judge = SVC(gamma=0.001, C=10.0).fit(train.images.reshape(-1, 64), train.labels)
    real = judge.score(test.images.reshape(-1, 64), test.labels)
    labels = torch.arange(10 * options.per_class) % 10
    rows = []
    for scale in sorted({*SCALES, module.guidance.scale}):
        shares = []
        for seed in (0, 1):
            images = module.generate(
                len(labels), labels, guidance=ClassifierFree(scale), seed=seed, batch_size=250
            )
            shares.append(judge.score(to_originals(images).reshape(-1, 64), labels.numpy()))
        rows.append(
            {
                "scale": scale,
                "default": scale == module.guidance.scale,
                "right_percent": 100 * mean(shares),
                "seed_0": 100 * shares[0],
                "seed_1": 100 * shares[1],
                "real_test_images": 100 * real,
                "images": len(labels),
            }
        )
    write(__file__, rows)


if __name__ == "__main__":
    main()
