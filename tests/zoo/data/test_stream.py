from __future__ import annotations

from itertools import islice

import pytest
import torch

from zoo.data import ImageSet
from zoo.data.stream import EvalBatches, TrainStream

SIZE = 23


@pytest.fixture
def images():
    values = torch.randint(256, (SIZE, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    labels = torch.arange(SIZE)
    captions = [f"image {i}" for i in range(SIZE)]
    return ImageSet(values.to(torch.uint8), labels, captions, [str(i) for i in range(SIZE)])


def stream(images, condition="label", batch_size=8, seed=3, **options):
    return TrainStream(images, condition, batch_size, seed, **options)


def same(one, other):
    return torch.equal(one.images, other.images) and torch.equal(one.condition, other.condition)


def test_every_epoch_holds_every_image_once_in_another_order(images):
    batches = list(islice(stream(images), SIZE))  # 8 epochs in whole batches
    seen = torch.cat([batch.condition for batch in batches]).reshape(8, SIZE)
    assert (seen.sort(dim=1).values == torch.arange(SIZE)).all()
    assert len({tuple(epoch.tolist()) for epoch in seen}) == 8


def test_pixels_belong_to_their_labels_and_span_the_range(images):
    batch = stream(images).batch(5)
    expected = images.images[batch.condition].double() / 255 * 2 - 1
    assert batch.images.dtype == torch.float32
    torch.testing.assert_close(batch.images.double(), expected, atol=1e-6, rtol=0)
    extremes = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
    batch = stream(ImageSet(extremes), "none", 2).batch(0)
    assert batch.images.flatten().sort().values.tolist() == [-1.0, 1.0]
    assert batch.condition is None


def test_captions_stand_beside_their_images(images):
    labelled, captioned = stream(images).batch(2), stream(images, "caption").batch(2)
    assert captioned.condition == [f"image {i}" for i in labelled.condition.tolist()]
    assert torch.equal(labelled.images, captioned.images)


def test_order_depends_on_the_seed_alone(images):
    assert same(stream(images).batch(7), stream(images).batch(7))
    assert not same(stream(images).batch(7), stream(images, seed=4).batch(7))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("start", [0, 1, 2, 3, 17])
def test_any_step_can_be_the_first(images, start, flip):
    whole = list(islice(stream(images, flip=flip), 20))
    resumed = stream(images, flip=flip, start_step=lambda: start)
    for one, other in zip(whole[start:], resumed, strict=False):
        assert same(one, other)


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_processes_share_the_batch_contiguously(images, world_size):
    for step in range(7):
        whole = stream(images, flip=True).batch(step)
        shares = [
            stream(images, flip=True, rank=rank, world_size=world_size).batch(step)
            for rank in range(world_size)
        ]
        assert torch.equal(torch.cat([share.images for share in shares]), whole.images)
        assert torch.equal(torch.cat([share.condition for share in shares]), whole.condition)


def test_order_does_not_depend_on_the_batch_size(images):
    small = torch.cat([batch.images for batch in islice(stream(images, flip=True), 9)])
    large = torch.cat(
        [batch.images for batch in islice(stream(images, batch_size=36, flip=True), 2)]
    )
    assert torch.equal(small, large)


def test_half_of_the_images_are_mirrored_anew_in_each_epoch():
    size = 2000
    pattern = torch.tensor([[0, 255]], dtype=torch.uint8).expand(size, 1, 1, 2).clone()
    flipping = stream(ImageSet(pattern, torch.arange(size)), batch_size=size, flip=True)
    mirrored = []
    for step in range(2):
        batch = flipping.batch(step)
        row = torch.empty(size, dtype=torch.bool)
        row[batch.condition] = batch.images[:, 0, 0, 0] > 0
        mirrored.append(row)
    bound = 5 * (size / 4) ** 0.5
    for row in (*mirrored, mirrored[0] ^ mirrored[1]):
        assert abs(row.sum() - size / 2) < bound
    assert (pattern[:, 0, 0, 0] == 0).all()  # the set itself is never mirrored


def test_batch_larger_than_the_set(images):
    large = stream(images, batch_size=60)
    assert len(large) == 1
    counts = large.batch(0).condition.bincount()
    assert set(counts.tolist()) == {2, 3}


def test_refuses_a_batch_that_cannot_be_shared(images):
    with pytest.raises(ValueError, match="multiple of their number, got 8"):
        stream(images, world_size=3)


@pytest.mark.parametrize("change", [{"seed": 4}, {"batch_size": 4}, {"flip": True}])
def test_refuses_to_resume_another_run(images, change):
    state = stream(images).state_dict()
    stream(images).load_state_dict(state)
    with pytest.raises(ValueError, match=f"had {next(iter(change))}="):
        stream(images, **change).load_state_dict(state)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_eval_batches_hold_the_split_once(images, world_size):
    ranks = [list(EvalBatches(images, "label", 8, r, world_size)) for r in range(world_size)]
    assert {len(batches) for batches in ranks} == {3}
    assert min(len(batch) for batches in ranks for batch in batches) > 0
    labels = [batches[k].condition for k in range(3) for batches in ranks]
    assert torch.cat(labels).tolist() == list(range(SIZE))


def test_random_squares_differ_by_epoch_and_not_by_process():
    size = 400
    column = torch.arange(6, dtype=torch.uint8).expand(size, 1, 6, 6)
    pixels = ImageSet(column.contiguous(), torch.arange(size))
    cropping = stream(pixels, batch_size=size, crop=4)
    lefts = []
    for step in range(2):
        batch = cropping.batch(step)
        squares = ((batch.images + 1) * 127.5).round().long()
        assert squares.shape == (size, 1, 4, 4)
        left = squares[:, 0, 0, 0]
        assert (squares == left.view(-1, 1, 1, 1) + torch.arange(4)).all()
        lefts.append(left[batch.condition.argsort()])
        shares = [stream(pixels, batch_size=size, crop=4, rank=r, world_size=2) for r in range(2)]
        assert torch.equal(torch.cat([s.batch(step).images for s in shares]), batch.images)
    for left in lefts:
        counts = left.bincount(minlength=3)
        assert len(counts) == 3 and counts.min() > size / 3 - 60
    assert not torch.equal(*lefts)
    with pytest.raises(ValueError, match="squares of 7 cannot be cut"):
        stream(pixels, crop=7)
