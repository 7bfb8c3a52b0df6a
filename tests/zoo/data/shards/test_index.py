"""The index of shards, kept by content and made anew when that changes; fingerprints; splits."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from zoo.data.shards import parquets, tars
from zoo.data.shards.split import HeldOut
from zoo.data.shards.streamed_set import KIND

SCANS = {"tar": (tars, "scan_tar"), "parquet": (parquets, "scan_parquet")}


@pytest.fixture
def scans(monkeypatch, kind):
    """Counts the scans of shards."""
    module, name = SCANS[kind]
    real, calls = getattr(module, name), []

    def scan(file, **options):
        calls.append(file.name)
        return real(file, **options)

    monkeypatch.setattr(module, name, scan)
    return calls


def test_a_shard_is_indexed_once(kind, scans, write, opened, tmp_path):
    train = write(kind, (20, 20, 20))
    first = opened(kind, train).fingerprint
    assert len(scans) == 3
    assert opened(kind, train).fingerprint == first
    assert len(scans) == 3
    kept = sorted((tmp_path / "cache" / "shards").iterdir())
    kept[0].write_bytes(kept[0].read_bytes()[:50])
    assert opened(kind, train).fingerprint == first
    assert len(scans) == 4
    write(
        kind, (20, 20, 21)
    )  # all written anew; the last has another size, the others another time
    assert opened(kind, train).fingerprint != first
    assert len(scans) == 7


def test_a_cache_that_cannot_be_written_costs_time_only(
    kind, scans, write, opened, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    made = opened(kind, write(kind, (20, 20)))
    made.train.gather(range(10))
    assert len(scans) == 2


def test_processes_that_start_together_begin_at_different_shards(
    kind, scans, write, opened, monkeypatch
):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("zoo.data.shards.index._THREADS", {True: 1, False: 1})
    opened(kind, write(kind, (5, 6, 7, 8)))
    assert scans == [f"{i:03}.{kind}" for i in (2, 3, 0, 1)]


def test_fingerprints_follow_the_content_and_say_their_kind(kind, write, opened, tmp_path):
    made = opened(kind, write(kind))
    assert made.fingerprint.startswith(f"{KIND}:")
    assert made.train.fingerprint != made.test.fingerprint
    shutil.copytree(tmp_path / "set", tmp_path / "moved")
    moved = str(tmp_path / "moved" / f"*.{kind}")
    assert opened(kind, moved).fingerprint == made.fingerprint
    in_store = opened(kind, write(kind, where="counted"))
    assert in_store.fingerprint == made.fingerprint
    assert opened(kind, moved, split_seed=1).fingerprint != made.fingerprint
    assert opened(kind, moved, image_size=4).fingerprint != made.fingerprint
    other = opened(kind, write(kind, (70, 0, 300, 5, 130)))
    assert other.fingerprint != made.fingerprint
    held = opened(kind, moved, memory_limit_gb=4.0)
    assert ":" not in held.fingerprint


def test_a_part_is_held_out_by_a_hash(kind, write, opened):
    made = opened(kind, write(kind), test_fraction=0.2)
    texts = [set(made.train.captions), set(made.test.captions)]
    assert not texts[0] & texts[1]
    assert len(texts[0] | texts[1]) == 504
    assert abs(len(made.test) - 0.2 * 504) < 5 * (504 * 0.2 * 0.8) ** 0.5
    longer = opened(kind, write(kind, (70, 0, 300, 5, 129, 40)), test_fraction=0.2)
    assert texts[0] < set(longer.train.captions)
    assert texts[1] < set(longer.test.captions)
    assert set(opened(kind, write(kind), test_fraction=0.2, split_seed=1).test.captions) != texts[1]
    with pytest.raises(ValueError, match=r"test_fraction=0\.01 of 3 images leaves 0 to test"):
        opened(kind, write(kind, (3,), name="few"), test_fraction=0.01)


def test_the_hash_is_even():
    part = HeldOut(0.1, 0, True)
    mask = part.mask("a.tar", 200_000)
    assert abs(mask.mean() - 0.1) < 5 * (0.09 / 200_000) ** 0.5
    assert np.array_equal(mask[:1000], part.mask("a.tar", 1000))
    assert (mask ^ HeldOut(0.1, 0, False).mask("a.tar", 200_000)).all()
    other = part.mask("b.tar", 200_000)
    assert abs((mask & other).mean() - 0.01) < 5 * (0.0099 / 200_000) ** 0.5


def test_captions_of_classes_and_larger_squares(kind, write, opened):
    made = opened(
        kind, write(kind), caption_column=None, caption_of_class="is a {}", condition="caption",
        crop_from=12, class_names=["ant", "bee", "cow"],
    )  # fmt: skip
    texts = ["is an ant", "is a bee", "is a cow"]
    assert made.train.captions[:9] == [texts[label] for label in made.train.labels[:9]]
    batch = made.train_dataloader().batch(1)
    assert batch.images.shape == (16, 3, 8, 8)
    assert set(batch.condition) <= set(texts)


def test_words_as_labels_of_all_shards(tmp_path, png, opened):
    from .conftest import tar_bytes

    for shard, words in enumerate((("cat", "dog"), ("dog", "ant"))):
        files = [(f"{i}.{suffix}", part) for i, word in enumerate(words)
                 for suffix, part in (("png", png(i)), ("cls", word.encode()))]  # fmt: skip
        (tmp_path / f"{shard}.tar").write_bytes(tar_bytes(files))
    files = str(tmp_path / "*.tar")
    made = opened("tar", files, files, caption_column=None)
    assert made.class_names == ("ant", "cat", "dog")
    assert torch.equal(made.train.labels, torch.tensor([1, 2, 2, 0]))
