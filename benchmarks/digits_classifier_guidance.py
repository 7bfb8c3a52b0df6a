"""How often digits are the ones asked for, when a noisy classifier guides models of pixels.

    zoo train experiment=digits model=noisy_classifier run_dir=runs/noisy_classifier
    zoo train experiment=digits model=ddpm conditioner=unconditional run_dir=runs/unconditional
    python benchmarks/digits_classifier_guidance.py runs/noisy_classifier/model.safetensors \
        runs/unconditional/model.safetensors [--per-class 10]

The unconditional model knows its digit from the classifier alone (scale 0: from nothing), the
shipped DDPM from its label too. Judged by scikit-learn's SVC (gamma 0.001, C 10) trained on the
8x8 originals of the train split. Beside the judge: the classifier's own accuracy by quartile of t
on the test split is in its run's metrics.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from _table import write
from sklearn.svm import SVC

import zoo
from zoo import paths
from zoo.data.source.digits import originals, to_originals
from zoo.guidance import Classifier
from zoo.sampler import DDIM, Ancestral
from zoo.system.picture import image_grid, save_png

SAMPLERS = {"ancestral, algorithm 1": Ancestral(25), "ddim, algorithm 2": DDIM(25)}
SCALES = {"unconditional": (0.0, 3.0, 10.0), "ddpm": (0.0, 3.0)}


def main() -> None:
    """Generates at every scale and lets the judge decide."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classifier")
    parser.add_argument("unconditional")
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--grids", type=Path, default=None, help="folder for pictures")
    options = parser.parse_args()
    classifier = zoo.load(options.classifier)
    models = {
        "unconditional": zoo.load(options.unconditional),
        "ddpm": zoo.load(paths.checkpoints() / "digits/ddpm.safetensors"),
    }
    train, _ = originals()
    judge = SVC(gamma=0.001, C=10.0).fit(train.images.reshape(-1, 64), train.labels)
    labels = torch.arange(10 * options.per_class) % 10
    rows = []
    for name, module in models.items():
        for sampler_name, sampler in SAMPLERS.items():
            for scale in SCALES[name]:
                images = module.generate(
                    len(labels), labels, sampler, Classifier(classifier, scale), batch_size=100
                )
                right = judge.predict(to_originals(images).reshape(-1, 64)) == labels.numpy()
                row = {"model": name, "sampler": sampler_name, "scale": scale}
                rows.append({**row, "right_percent": 100 * right.mean(), "images": len(labels)})
                if options.grids is not None:
                    path = options.grids / f"{name}_{sampler_name.split(',')[0]}_{scale:g}.png"
                    save_png(image_grid(images[:60], columns=10), path)
    write(__file__, rows)


if __name__ == "__main__":
    main()
