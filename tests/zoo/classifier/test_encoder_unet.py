"""The noisy classifiers' network: published sizes, the originals' outputs, refusals."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.checkpoint import config, load, save
from zoo.classifier import EncoderUNet
from zoo.convert.openai.classifier import classifier

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))
_spec = importlib.util.spec_from_file_location("_golden", ROOT / "benchmarks" / "_golden.py")
assert _spec is not None and _spec.loader is not None
golden: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golden)
sys.path.remove(str(ROOT / "benchmarks"))
CASES = golden.read("guidance")
POOLS = ["adaptive", "attention", "spatial", "spatial_v2"]


def small(pool="attention", **options) -> EncoderUNet:
    torch.manual_seed(0)
    sizes = {"channels": 8, "channel_mult": (1, 2), "num_res_blocks": 1, "attention_at": (2,)}
    network = EncoderUNet(
        2, 5, 8, **{**sizes, "head_channels": 8, "norm_groups": 4, "pool": pool, **options}
    )
    with torch.no_grad():
        for parameter in network.parameters():  # those that begin at zero hide what is behind
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    return network


@pytest.mark.parametrize("name", CASES)
def test_the_same_logits_as_the_original(name) -> None:
    # attention pools: among the converters' tests
    case = CASES[name]
    for dtype, wanted, tolerance in (
        (torch.float64, case.output, 1e-10),
        (torch.float32, case.output32, 1e-5),
    ):
        x = golden.inputs(case.config, dtype)["x"]
        with torch.no_grad(), golden.default_dtype(dtype):
            network = classifier(case.state(dtype), case.config["arguments"])
            logits = network(x, torch.tensor(golden.TIMES, dtype=dtype))
        assert logits.dtype == dtype
        assert golden.difference(golden.kept(logits, case.config["stride"]), wanted) < tolerance


@pytest.mark.parametrize(
    ("size", "mult", "depth", "count"),
    [
        (64, (1, 2, 3, 4), 4, 65_438_568),
        (128, (1, 1, 2, 3, 4), 2, 42_568_040),
        (256, (1, 1, 2, 2, 4, 4), 2, 54_096_360),
        (512, (0.5, 1, 1, 2, 2, 4, 4), 2, 54_448_360),
    ],
)
def test_parameters_of_the_published_classifiers(size, mult, depth, count) -> None:
    # counted on guided-diffusion's create_classifier
    with torch.device("meta"):
        network = EncoderUNet(
            3, 1000, size, 128, mult, depth, attention_at=[size // side for side in (32, 16, 8)]
        )
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("pool", POOLS)
def test_every_image_is_read_alone_at_its_own_time(pool) -> None:
    network = small(pool).eval().double()
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    t = torch.tensor([3.0, 500.0, 900.0])
    logits = network(x, t)
    assert logits.shape == (3, 5)
    torch.testing.assert_close(network(x[1:2], t[1:2]), logits[1:2])
    assert (network(x, t + 50) - logits).abs().max() > 1e-3


@pytest.mark.parametrize("pool", POOLS)
def test_a_file_gives_the_network_back(pool, tmp_path) -> None:
    network = small(pool, resblock_updown=False, scale_shift_norm=False, dropout=0.1).eval()
    path = save(network, tmp_path / "network.safetensors")
    assert config(path)["pool"] == pool
    x, t = torch.randn(2, 2, 8, 8), torch.tensor([0.0, 999.0])
    assert torch.equal(load(path)(x, t), network(x, t))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "mean"}, "no pool 'mean': possible are adaptive, attention, spatial, spatial_v2"),
        ({"attention_at": (4,)}, r"possible are \[1, 2\]"),
        ({"head_channels": 3}, "head_channels=3 does not divide 16"),
        ({"channel_mult": ()}, "at least one level"),
        ({"channels": 9, "norm_groups": 9}, "even"),
        ({"channel_mult": (1, 1, 1, 1, 1)}, "downsamples by 16"),
    ],
)
def test_impossible_sizes_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"takes \(2, 8, 8\), got \(2, 16, 16\)"):
        small()(torch.zeros(1, 2, 16, 16), torch.zeros(1))
