"""What readers take the numbers' names for, held to be what a plain ``metric=NAME`` measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import get_class, instantiate
from torch import Tensor

from eval.extractor import CroppedClip, DinoV2, Inception, OpenClip
from eval.measure.blocks import Blocks
from eval.metric import ClipScore, frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from eval.result.uncertainty import BLOCKS
from eval.source.batch import Images

CONFIGS = Path(__file__).parents[3] / "configs"
EXTRACTOR = "toy"


def config(group: str, name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIGS / group / f"{name}.yaml").read_text())


def metric(name: str, **given: Any) -> Any:
    """The metric that ``metric=NAME`` makes."""
    return instantiate(config("metric", name))(extractor=EXTRACTOR, **given)


def features(count: int, seed: int, size: int = 12, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(count, size, generator=generator) + shift).abs()


def value(made: Any, values: Tensor, feature: str = "pool") -> float:
    made.update({feature: values}, None)
    return made.compute()[made.name]


def test_kid_is_the_mean_of_100_subsets_of_1000_with_the_cubic_kernel() -> None:
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    ours, real = features(1200, 0), features(1100, 1, shift=0.2)
    made = metric("kid", reference=real)
    assert (made.subsets, made.subset_size) == (100, 1000)
    theirs = kid_features_to_metric(  # its defaults but for the seed: 100, 1000, degree 3
        ours.double(), real.double(), rng_seed=made.seed, verbose=False
    )
    assert value(made, ours) == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-6)


def test_inception_score_is_the_mean_of_10_splits() -> None:
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    logits = 3 * torch.randn(500, 20, generator=torch.Generator().manual_seed(0))
    theirs = isc_features_to_metric(logits, splits=10, shuffle=False)[KEY_METRIC_ISC_MEAN]
    blocks = Blocks(lambda: metric("inception_score"), 500)
    for part in logits.split(64):
        blocks.update({"logits": part}, Images(torch.zeros(len(part), 1, 1, 1)))
    assert BLOCKS == 10
    assert blocks.estimates()["inception_score_toy"].value == pytest.approx(theirs, rel=1e-6)


def test_sfid_reads_adms_2023_spatial_features() -> None:
    kind = get_class(config("metric", "sfid")["_target_"])
    assert kind.reads == "spatial" and kind.reads in Inception.provides
    assert 2023 == 7 * 17 * 17  # what test_inception holds the extractor's shape and values to
    ours, real = features(40, 0), features(50, 1, shift=0.3)
    made = metric("sfid", reference=FeatureStatistics(real))
    assert made.feature == "spatial"
    assert value(made, ours, "spatial") == frechet_distance(
        FeatureStatistics(ours), FeatureStatistics(real)
    )


def test_precision_and_recall_are_of_the_third_neighbour_on_pool3() -> None:
    from torch_fidelity.metric_prc import (
        KEY_METRIC_PRECISION,
        KEY_METRIC_RECALL,
        prc_features_to_metric,
    )

    ours, real = features(300, 0, shift=0.4), features(400, 1)
    theirs = prc_features_to_metric(  # its default neighbourhood is 3
        ours, real, prc_batch_size=100, verbose=False
    )
    made = metric("precision_recall", reference=real)
    assert made.feature == "pool"  # Inception's pool3, as test_inception holds
    made.update({"pool": ours}, None)
    found = made.compute()
    assert found["precision_toy"] == pytest.approx(theirs[KEY_METRIC_PRECISION], abs=1e-6)
    assert found["recall_toy"] == pytest.approx(theirs[KEY_METRIC_RECALL], abs=1e-6)


def test_density_and_coverage_are_of_the_fifth_neighbour() -> None:
    ours, real = features(90, 0, shift=0.4), features(80, 1)
    made = metric("density_coverage", reference=real)
    made.update({"pool": ours}, None)
    x, y = ours.double().numpy(), real.double().numpy()
    radius = np.sort(np.linalg.norm(y[:, None] - y[None], axis=-1), axis=1)[:, 5]  # 0 is itself
    inside = np.linalg.norm(y[:, None] - x[None], axis=-1) < radius[:, None]
    assert made.compute() == {
        "density_toy": pytest.approx(inside.sum(0).mean() / 5),
        "coverage_toy": pytest.approx(inside.any(1).mean()),
    }


def test_fd_dinov2_is_of_vit_l_14_at_224() -> None:
    from eval.extractor import dino

    asked = config("extractor", "dinov2")
    assert (get_class(asked["_target_"]), asked["size"]) == (DinoV2, "large")
    with torch.device("meta"):
        network = dino._architecture(asked["size"])
    assert network.patch_embed.img_size == (224, 224)
    assert network.patch_embed.patch_size == (14, 14)
    assert (network.embed_dim, len(network.blocks)) == (1024, 24)
    assert "224x224" in DinoV2.resize


def test_cmmd_is_of_openais_vit_l_14_at_336_with_sigma_10_and_1000() -> None:
    import open_clip

    asked = config("extractor", "clip_l14_336")
    assert get_class(asked["_target_"]) is CroppedClip
    assert (asked["model"], asked["pretrained"]) == ("ViT-L-14-336", "openai")
    tower = open_clip.get_model_config(asked["model"])["vision_cfg"]
    assert (tower["image_size"], tower["patch_size"], tower["width"]) == (336, 14, 1024)
    ours, real = features(60, 0, shift=0.5), features(50, 1)
    x, y = (some.double() / some.double().norm(dim=1, keepdim=True) for some in (ours, real))

    def kernel(a: Tensor, b: Tensor) -> Tensor:  # as the authors write it, gamma = 1 / (2 sigma^2)
        squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
        return torch.exp(-squares / (2 * 10**2)).mean()

    want = 1000 * float(kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))
    assert value(metric("cmmd", reference=real), ours) == pytest.approx(want, rel=1e-6)


def test_clip_scores_clamp_each_pair_and_then_average() -> None:
    captions, images = ["with", "against"], torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    seen: list[str] = []

    def text(given: list[str]) -> Tensor:
        seen.extend(given)
        return torch.tensor([[3.0, 4.0] if "with" in one else [-1.0, 0.0] for one in given])

    plain, paper = ClipScore(text, EXTRACTOR), metric("clip_score_w25", text=text)
    for made in (plain, paper):
        made.update({"pool": images}, Images(torch.zeros(2, 1, 1, 1), captions=captions))
    assert plain.compute() == {"clip_score_toy": pytest.approx(100 * 0.6 / 2)}
    assert paper.compute() == {"clip_score_w25_toy": pytest.approx(2.5 * 0.6 / 2)}
    assert seen == [*captions, "A photo depicts with", "A photo depicts against"]


@pytest.mark.parametrize("name", ["clip_b32", "clip_l14_336", "open_clip"])
def test_openais_weights_and_no_others_get_quickgelu(name: str) -> None:
    import open_clip

    asked = config("extractor", name)
    settings = open_clip.get_pretrained_cfg(asked["model"], asked["pretrained"])
    # test_weights_trained_with_quickgelu_get_it holds that the network follows this
    assert settings.get("quick_gelu", False) is (asked["pretrained"] == "openai")
    assert settings["interpolation"] == "bicubic" and settings["resize_mode"] == "shortest"


def test_clip_fid_is_of_openais_vit_b_32() -> None:
    asked = config("extractor", "clip_b32")
    assert get_class(asked["_target_"]) is OpenClip
    assert (asked["model"], asked["pretrained"]) == ("ViT-B-32", "openai")


def test_fid_infinity_is_a_line_through_15_counts_and_seeded() -> None:
    made = metric("fid_infinity", reference=FeatureStatistics(features(200, 1)))
    assert (made.points, made.seed) == (15, 0)
    again = metric("fid_infinity", reference=made.reference)
    assert value(made, features(300, 0)) == value(again, features(300, 0))


def test_every_metrics_yaml_makes_a_metric_of_its_name() -> None:
    stems = set()
    for path in sorted((CONFIGS / "metric").glob("*.yaml")):
        kind = get_class(config("metric", path.stem)["_target_"])
        assert kind.stem not in stems
        stems.add(kind.stem)
        assert path.stem.startswith(kind.stem) or kind.stem.startswith(path.stem)
        assert kind.definition
