"""Two folders of PNGs through the whole harness, and through the packages that papers quote."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from eval.extractor import CleanInception, Inception
from eval.measure import Setting, evaluate
from eval.metric import FrechetDistance, InceptionScore, KernelDistance, PrecisionRecall
from eval.source.reference_set import reference_set
from eval.source.stored import open_images
from zoo.checkpoint import sha256

COUNT = 20
KID = {"subsets": 5, "subset_size": 12, "seed": 2020}


class Files(NamedTuple):
    generated: Path
    real: Path
    weights: Path
    network: Any  # torch-fidelity's own, with those weights


def write_pngs(folder: Path, seed: int, spread: float) -> Path:
    """Smooth colours with a little noise, so that features differ from image to image."""
    folder.mkdir()
    random = np.random.RandomState(seed)
    for i in range(COUNT):
        corners = random.normal(128, spread, (2, 2, 3)).clip(0, 255).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(corners).resize((32, 32), Image.Resampling.BICUBIC))
        pixels = (smooth + random.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")
    return folder


def random_network() -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):
        def load_state_dict(self, *args: Any, **kwargs: Any) -> None:
            pass

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    network = Unloaded("peer", ["2048", "logits_unbiased"], feature_extractor_weights_path=nothing)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.running_mean.normal_(0.0, 0.1, generator=generator)
    return network


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("peers")
    network = random_network()
    torch.save(network.state_dict(), folder / "inception.pth")
    return Files(
        write_pngs(folder / "generated", 2, 90),
        write_pngs(folder / "real", 3, 20),
        folder / "inception.pth",
        network,
    )


@pytest.fixture(scope="module")
def ours(files: Files) -> dict[str, float]:
    """By name, as ``zoo evaluate images=... reference=...`` gives them."""
    setting = Setting(
        open_images(files.generated),
        reference_set(str(files.real)),
        [FrechetDistance, partial(KernelDistance, **KID), InceptionScore, PrecisionRecall],
        [Inception(files.weights, sha256=sha256(files.weights))],
        fid_counts=[COUNT],
    )
    result = evaluate(setting).result
    return {name: value.value for name, value in result.values.items()}


def torch_fidelitys(files: Files, **asked: Any) -> dict[str, float]:
    from torch_fidelity import calculate_metrics

    return calculate_metrics(
        input1=str(files.generated),
        input2=str(files.real),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(files.weights),
        cuda=False,
        cache=False,
        verbose=False,
        batch_size=COUNT,
        samples_shuffle=False,
        **asked,
    )


@pytest.mark.filterwarnings("ignore")  # of torch-fidelity
def test_kid_inception_score_precision_and_recall_are_torch_fidelitys(
    files: Files, ours: dict[str, float]
) -> None:
    theirs = torch_fidelitys(
        files,
        kid=True,
        kid_subsets=KID["subsets"],
        kid_subset_size=KID["subset_size"],
        rng_seed=KID["seed"],
        isc=True,
        isc_splits=10,
        prc=True,
        feature_layer_prc="2048",
    )
    kid = theirs["kernel_inception_distance_mean"]
    assert abs(kid) > 1e-4
    assert ours["kid_inception"] == pytest.approx(kid, rel=1e-4)
    assert ours["inception_score_inception"] == pytest.approx(
        theirs["inception_score_mean"], rel=1e-5
    )
    assert 0 < theirs["precision"] < 1
    assert 0 < theirs["recall"] < 1
    assert ours["precision_inception"] == pytest.approx(theirs["precision"], abs=1e-6)
    assert ours["recall_inception"] == pytest.approx(theirs["recall"], abs=1e-6)


@pytest.mark.slow  # its eigenvalues take several seconds
@pytest.mark.filterwarnings("ignore")
def test_fid_is_torch_fidelitys(files: Files, ours: dict[str, float]) -> None:
    theirs = torch_fidelitys(files, fid=True)["frechet_inception_distance"]
    assert ours[f"fid_inception_{COUNT}"] == pytest.approx(theirs, rel=1e-4)


def clean_fids_model(network: Any) -> Any:
    """clean-fid's own wrapper, which scales pixels, around the same layers."""
    from cleanfid.inception_torchscript import InceptionV3W

    layers = [layer for name, layer in network.named_children() if name != "fc"]
    wrapper = InceptionV3W.__new__(InceptionV3W)
    nn.Module.__init__(wrapper)
    wrapper.layers, wrapper.resize_inside = nn.Sequential(*layers), False
    return wrapper


def clean_features(files: Files, folder: Path, count: int = COUNT) -> Tensor:
    clean = CleanInception(files.weights, sha256=sha256(files.weights))
    return clean(open_images(folder).gather(torch.arange(count)))["pool"]


def test_clean_features_are_clean_fids(files: Files) -> None:
    from cleanfid import fid

    ours, model = clean_features(files, files.generated, 4), clean_fids_model(files.network)
    theirs = torch.from_numpy(
        fid.get_folder_features(
            str(files.generated),
            model,
            num=4,
            num_workers=0,
            device=torch.device("cpu"),
            verbose=False,
        )
    )
    assert theirs.std(dim=0).mean() > 0.01
    assert (ours - theirs).norm() <= 2e-6 * theirs.norm()
