"""Protocols with names: what they fix, what bears their name, what is refused."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from eval.measure import Generation
from eval.source.reference_set import ReferenceSet
from eval.study.protocol import FLAT, check, flattened, generation, title
from zoo import entry, paths
from zoo.sampler import DDIM

NAMED = sorted(
    file.stem for file in (paths.configs() / "protocol").glob("*.yaml") if file.stem != "default"
)


def composed(*overrides, config="evaluate"):
    return entry.compose(config, list(overrides))


def used(cfg):
    return OmegaConf.to_container(cfg.protocol, resolve=True)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("config", ["evaluate", "compare", "sweep"])
def test_a_protocol_bears_its_file_name_and_every_key(name, config):
    cfg = composed(f"protocol={name}", config=config)
    assert cfg.protocol.name == name
    assert set(cfg.protocol) == set(composed().protocol)
    assert title(cfg, used(cfg)) == f"{name} v{cfg.protocol.version}"
    assert str(max(cfg.protocol.fid_counts) // 1000) + "k" in name


def test_the_flat_keys_are_the_protocols():
    cfg = composed("protocol=cifar10_fid50k")
    assert flattened(cfg) == used(cfg)
    assert set(FLAT) | {"name", "version", "data"} == set(used(cfg))
    flat = composed("num_images=7", "labels=random")
    found = flattened(flat)
    assert (found["num_images"], found["labels"]) == (7, "random")
    whole = composed("protocol.num_images=7", "protocol.labels=random")
    assert flattened(whole)["num_images"] == 7


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("num_images=100", "num_images"),
        ("labels=balanced", "labels"),
        ("seed=5", "seed"),
        ("reference=test", "reference"),
        ("dtype=bfloat16", "dtype"),
        ("metric.kid.subsets=10", "metric.kid.subsets"),
        ("extractor=[inception_clean]", "extractor.inception, extractor.inception_clean"),
        (
            "metric=[fid,nearest]",
            "metric.inception_score, metric.kid, metric.precision_recall",
        ),
        ("metric.nearest.num_images=7", "metric.nearest.num_images"),
    ],
)
def test_whoever_changes_a_setting_gets_it_beside_the_name(override, changes):
    cfg = composed("protocol=cifar10_fid50k", override)
    assert title(cfg, flattened(cfg)) == f"cifar10_fid50k v1, changed: {changes}"


def test_paths_and_batch_sizes_change_no_number():
    cfg = composed("protocol=cifar10_fid50k", "batch_size=8", "extractor.inception.path=/a/b.pth")
    assert title(cfg, flattened(cfg)) == "cifar10_fid50k v1"
    assert title(composed(), flattened(composed())) == ""


def test_a_protocol_is_about_its_data():
    asked = flattened(composed("protocol=cifar10_fid50k"))
    check(asked, ReferenceSet("cifar10", None))
    assert asked["fid_counts"] == [50000]
    with pytest.raises(ValueError, match="is about data=cifar10, got data=digits"):
        check(asked, ReferenceSet("digits", None))


def test_images_are_generated_by_the_protocol():
    asked = flattened(composed("num_images=7", "labels=random", "seed=5", "batch_size=3"))
    sampler = DDIM(2)
    expected = Generation(7, seed=5, labels="random", batch_size=3, sampler=sampler)
    assert generation(asked, sampler=sampler) == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fid_counts=7", "fid_counts=7: expected a list of whole numbers"),
        ("num_images=1", "num_images is a whole number from 2, got 1"),
        ("batch_size=0", "batch_size=0: expected a whole number of at least 1"),
        ("seed=-1", "seed=-1: expected a whole number from 0"),
        ("num_images=2.5", "num_images=2.5: expected a whole number"),
    ],
)
def test_counts_that_are_none_are_refused(override, message):
    with pytest.raises(ValueError, match=message):
        check(flattened(composed(override)), ReferenceSet("digits", None))
