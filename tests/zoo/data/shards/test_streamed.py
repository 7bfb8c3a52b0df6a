"""Streamed sets: equal to sets in memory, the same on any number of processes, resumed anywhere."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from itertools import islice

import numpy as np
import pytest
import torch

from eval.source.dataset import from_dataset, order_of
from zoo.data.shuffle import WindowShuffle
from zoo.data.stream import EvalBatches, TrainStream

from .conftest import SIZES, Counted, settled, tar_bytes

COUNT = sum(SIZES)


def stream(images, rank=0, world_size=1, start=0, condition="caption", **options):
    options = {"batch_size": 16, "seed": 3, "flip": True, **options}
    return TrainStream(
        images, condition, rank=rank, world_size=world_size, start_step=lambda: start, **options
    )


def batches(images, number, **options):
    iterator = iter(stream(images, **options))
    made = list(islice(iterator, number))
    iterator.close()
    return made


def same(one, other):
    return torch.equal(one.images, other.images) and one.condition == other.condition


@pytest.mark.parametrize("where", ["here", "counted"])
def test_the_set_is_that_in_memory(kind, where, write, opened):
    train = write(kind, where=where)
    test = write(kind, (9,), where, "test")
    held = opened(kind, train, test, memory_limit_gb=4.0)
    streamed = opened(kind, train, test)
    assert held.train.in_memory
    assert not streamed.train.in_memory
    assert (held.class_names, held.num_classes) == (streamed.class_names, streamed.num_classes)
    for one, other in ((held.train, streamed.train), (held.test, streamed.test)):
        assert (len(one), one.shape) == (len(other), other.shape)
        assert torch.equal(one.images, other.gather(range(len(one))))
        assert torch.equal(one.labels, other.labels)
        assert list(one.captions) == list(other.captions)
        assert other.captions[2] == one.captions[2]
        assert other.captions[1:3] == one.captions[1:3]
        backwards = list(range(len(one)))[::-3]
        assert torch.equal(other.gather(backwards), one.gather(backwards))
    with pytest.raises(ValueError, match=r"streamed: use gather\(indices\), or raise data.memory"):
        _ = streamed.train.images


def test_images_stay_with_their_captions_and_every_epoch_has_each_once(kind, write, opened):
    made = opened(kind, write(kind), write(kind, (9,), name="test"))
    epochs = []
    seen = batches(made.train, 3 * COUNT // 16, flip=False)
    for batch in seen:
        pixels = ((batch.images[:, 0, 0, 0] + 1) * 127.5).round().long().tolist()
        numbers = [int(text.split()[1]) for text in batch.condition]
        assert pixels == [number % 256 for number in numbers]
        epochs += numbers
    for first in range(0, len(epochs) - COUNT, COUNT):
        assert sorted(epochs[first : first + COUNT]) == list(range(COUNT))
    assert epochs[:COUNT] != epochs[COUNT : 2 * COUNT]


def test_any_step_can_be_the_first(kind, write, opened):
    condition = {"tar": "caption", "parquet": "label"}[kind]
    made = opened(kind, write(kind), write(kind, (9,), name="test"))
    whole = batches(made.train, 70, condition=condition)  # more than two epochs
    for start in (1, 7, 31, 32, 69):
        resumed = batches(made.train, min(2, 70 - start), start=start, condition=condition)
        for one, other in zip(whole[start:], resumed, strict=False):
            assert torch.equal(one.images, other.images)
            assert list(one.condition) == list(other.condition)
        assert torch.equal(stream(made.train).batch(start).images, whole[start].images)


def test_the_order_is_of_seed_and_window(kind, write, opened):
    files = write(kind), write(kind, (9,), name="test")
    one = opened(kind, *files).train
    first = batches(one, 3)
    assert all(map(same, first, batches(opened(kind, *files).train, 3)))
    assert not same(first[0], batches(one, 1, seed=4)[0])
    other = opened(kind, *files, shuffle_window=9000).train
    assert not same(first[0], batches(other, 1)[0])
    with pytest.raises(ValueError, match="had shuffle_window=100, now 9000"):
        stream(other).load_state_dict(stream(one).state_dict())


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_make_one_batch_and_read_their_share(kind, world_size, write, opened):
    train = write(kind, (256,) * 4, "counted", group=16, padding=5000)
    files = train, write(kind, (9,), "counted", "test")
    steps = 1024 // 16  # an epoch, in two windows
    read, shares = [], []
    for rank, size in [(0, 1), *((rank, world_size) for rank in range(world_size))]:
        own = opened(kind, *files, shuffle_window=512).train
        Counted.ranges.clear()
        own_stream = stream(own, rank, size)
        with own.ahead(islice(own_stream.order.shares(0, rank, size), 2)) as ahead:
            shares.append([own_stream.batch(step, ahead) for step in range(steps)])
        read.append(sum(end - start for _, start, end in Counted.ranges))
    whole = shares.pop(0)
    for step in range(steps):
        parts = [share[step] for share in shares]
        assert torch.equal(torch.cat([part.images for part in parts]), whole[step].images)
        texts = [text for part in parts for text in part.condition]
        assert texts == whole[step].condition
    footers = 4 << 16 if kind == "parquet" else 0  # each process reads them, and pieces of edges
    assert max(read[1:]) < 1.2 * (read[0] - footers) / world_size + footers
    assert read[0] - footers < 1.1 * sum(len(f.getbuffer()) for p, f in Counted.store.items()
                                         if p.startswith("/set/"))  # fmt: skip


def test_validation_and_evaluation_read_in_order(kind, write, opened):
    made = opened(kind, write(kind), write(kind, (30,), name="test"), memory_limit_gb=0.0)
    ranks = [list(EvalBatches(made.test, "label", 8, rank, 2)) for rank in range(2)]
    labels = torch.cat([ranks[rank][k].condition for k in range(4) for rank in range(2)])
    assert labels.tolist() == [i % 3 for i in range(30)]
    parts = list(from_dataset(made.train, 64, order_of(made.train)))
    assert torch.cat([part.images for part in parts])[:, 0, 0, 0].tolist() == [
        i % 256 for i in range(COUNT)
    ]
    assert [text for part in parts for text in part.captions] == list(made.train.captions)


def test_classes_in_order_are_mixed_before_they_are_measured(tmp_path, png, opened):
    rows = [(f"{i:04}", i // 100) for i in range(600)]
    files = [(f"{key}.{s}", c) for key, v in rows for s, c in (("png", png(v)), ("cls", b"%d" % v))]
    (tmp_path / "a.tar").write_bytes(tar_bytes(files))
    made = opened("tar", *[str(tmp_path / "a.tar")] * 2, caption_column=None, shuffle_window=8192)
    order = order_of(made.train)
    assert sorted(order.tolist()) == list(range(600))
    assert len(made.train.labels[order][:100].unique()) == 6


def test_no_thread_stays(write, opened):
    made = opened("tar", write("tar"), write("tar", (9,), name="test"))

    others = threading.enumerate()

    def ours():
        now = [thread for thread in threading.enumerate() if thread not in others]
        return [thread for thread in now if thread.name.startswith("shards-")]

    for leave in ("close", "forget", "raise"):
        iterator = iter(stream(made.train))
        next(iterator)
        assert ours()
        if leave == "close":
            iterator.close()
        elif leave == "raise":
            with pytest.raises(KeyboardInterrupt):
                iterator.throw(KeyboardInterrupt)
        del iterator
        gc.collect()
        assert settled(lambda: not ours()), leave


def test_memory_does_not_grow_with_the_set(tmp_path, png, opened):
    noise = np.random.default_rng(0).bytes(1 << 14)  # behind the picture's end, where none looks
    peaks = []
    for count in (600, 2400):
        (tmp_path / f"{count}.tar").write_bytes(
            tar_bytes((f"{i:06}.png", png(i % 256) + noise) for i in range(count))
        )
        file = str(tmp_path / f"{count}.tar")
        made = opened("tar", file, file, label_column=None, caption_column=None)
        tracemalloc.start()
        seen = 0
        iterator = iter(stream(made.train, condition="none", batch_size=50))
        for _ in range(11):
            seen += len(next(iterator).images)
        peaks.append(tracemalloc.get_traced_memory()[1])
        iterator.close()
        tracemalloc.stop()
        assert seen == 550
    # a window is 256 samples (one block) of 16 kB, and a second one is read ahead
    assert peaks[1] < 1.3 * peaks[0]
    assert max(peaks) < 10 * 256 * len(noise)  # of 2,400


def test_a_billion_images_are_ordered_as_quickly_as_few():
    counts = np.full(10**6, 1000)
    order = WindowShuffle(counts, seed=0, window=8192, batch_size=256)
    rows = slice(987_654_321, 987_654_321 + 256)
    one = order.indices(5, rows)
    assert len(one.unique()) == 256
    assert one.min() >= 0
    assert one.max() < 10**9
    again = WindowShuffle(counts, seed=0, window=8192, batch_size=256)
    assert torch.equal(again.indices(5, rows), one)
    first = next(again.shares(5 * 10**9 + rows.start, rank=3, world_size=4))
    place = (5 * 10**9 + np.arange(rows.start, rows.stop)) % 256 // 64
    assert torch.equal(first[:1], one[torch.from_numpy(place == 3)][:1])
    assert order.flips(5, rows).shape == (256,)
    assert order.places(5, rows).shape == (256, 2)


@pytest.mark.parametrize("window", [1, 64, 333, 10**9])
@pytest.mark.parametrize("batch_size", [1, 24, 700])
def test_a_window_shuffle_is_a_permutation_whatever_the_sizes(window, batch_size):
    counts = np.array([256, 0, 3, 1, 100, 256, 44])
    order = WindowShuffle(counts, 1, window, batch_size)
    for epoch in (0, 1, 7):
        rows = order.indices(epoch, slice(0, 660))
        assert rows.sort().values.tolist() == list(range(660))
        pieces = [order.indices(epoch, slice(a, min(a + 37, 660))) for a in range(0, 660, 37)]
        assert torch.equal(torch.cat(pieces), rows)
    own = order.shares(660 + 100, 0, 1)
    needed = torch.cat([next(own) for _ in range(30)])
    both = torch.cat([order.indices(e, slice(100 if e == 1 else 0, 660)) for e in (1, 2, 3, 4, 5)])
    assert torch.equal(needed[: len(both)], both[: len(needed)])
