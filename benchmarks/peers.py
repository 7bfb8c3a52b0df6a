"""The same two folders of PNGs by this harness, torch-fidelity and clean-fid: every number.

    python benchmarks/peers.py

64 and 64 images of 32x32, one file of random Inception weights. Not timed. clean-fid's own wrapper
is put around the layers, for its weights' file is a program.
"""

from __future__ import annotations

import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _inception import random_inception, write_pngs
from _table import write
from torch import nn

from eval.extractor import CleanInception, Inception
from eval.measure import Setting, evaluate
from eval.metric import FrechetDistance, InceptionScore, KernelDistance, PrecisionRecall
from eval.source.reference_set import reference_set
from eval.source.stored import open_images
from zoo.checkpoint import sha256

COUNT = 64
KID = {"subsets": 100, "subset_size": 32, "seed": 2020}


def ours(generated: Path, real: Path, weights: Path) -> dict[str, float]:
    setting = Setting(
        open_images(generated),
        reference_set(str(real)),
        [FrechetDistance, partial(KernelDistance, **KID), InceptionScore, PrecisionRecall],
        [kind(weights, sha256=sha256(weights)) for kind in (Inception, CleanInception)],
        fid_counts=[COUNT],
    )
    return {name: value.value for name, value in evaluate(setting).result.values.items()}


def torch_fidelitys(generated: Path, real: Path, weights: Path) -> dict[str, float]:
    from torch_fidelity import calculate_metrics

    found: dict[str, float] = calculate_metrics(
        input1=str(generated),
        input2=str(real),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights),
        feature_layer_prc="2048",
        cuda=False,
        cache=False,
        verbose=False,
        samples_shuffle=False,
        fid=True,
        kid=True,
        kid_subsets=KID["subsets"],
        kid_subset_size=KID["subset_size"],
        rng_seed=KID["seed"],
        isc=True,
        isc_splits=10,
        prc=True,
    )
    return found


def clean_fids(generated: Path, real: Path, network: Any) -> float:
    from cleanfid import fid
    from cleanfid.inception_torchscript import InceptionV3W

    wrapper = InceptionV3W.__new__(InceptionV3W)
    nn.Module.__init__(wrapper)
    layers = [layer for name, layer in network.named_children() if name != "fc"]
    wrapper.layers, wrapper.resize_inside = nn.Sequential(*layers), False
    score = fid.compute_fid(
        str(generated),
        str(real),
        mode="clean",
        num_workers=0,
        device=torch.device("cpu"),
        custom_feat_extractor=wrapper,
        verbose=False,
    )
    return float(score)


def rows(folder: Path) -> list[dict[str, Any]]:
    network, weights = random_inception(), folder / "inception.pth"
    torch.save(network.state_dict(), weights)
    generated = write_pngs(folder / "generated", COUNT, seed=2, spread=60)
    real = write_pngs(folder / "real", COUNT, seed=3, spread=40)
    found, theirs = ours(generated, real, weights), torch_fidelitys(generated, real, weights)
    pairs = {
        f"fid_inception_{COUNT}": theirs["frechet_inception_distance"],
        "kid_inception": theirs["kernel_inception_distance_mean"],
        "inception_score_inception": theirs["inception_score_mean"],
        "precision_inception": theirs["precision"],
        "recall_inception": theirs["recall"],
    }
    table = [_row(name, "torch-fidelity", found[name], value) for name, value in pairs.items()]
    clean = f"fid_inception_clean_{COUNT}"
    return [*table, _row(clean, "clean-fid", found[clean], clean_fids(generated, real, network))]


def _row(name: str, peer: str, value: float, other: float) -> dict[str, Any]:
    gap = abs(value - other) / abs(other)
    # as texts, for five digits would hide what the comparison is about
    return {
        "value": name,
        "peer": peer,
        "ours": f"{value:.9g}",
        "theirs": f"{other:.9g}",
        "relative_difference": gap,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as made:
        write(__file__, rows(Path(made)))
