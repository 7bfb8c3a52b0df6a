"""Images per second: of all batches together, and of no images that were there already."""

from __future__ import annotations

import pytest
import torch

from eval.metric import ImagesPerSecond, NotEstimable
from eval.source.batch import Images

NAME = "images_per_second"


def batch(count: int, seconds: float) -> Images:
    return Images(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), seconds=seconds)


def test_is_all_images_over_all_seconds_and_merges() -> None:
    metric, other = ImagesPerSecond(), ImagesPerSecond()
    metric.update({}, batch(10, 0.5))
    metric.update({}, batch(30, 1.0))
    other.update({}, batch(5, 1.5))
    assert metric.compute() == {NAME: pytest.approx(40 / 1.5, rel=1e-12)}
    metric.merge_state(other)
    assert metric.compute() == {NAME: pytest.approx(45 / 3.0, rel=1e-12)}


def test_images_that_were_there_have_no_rate() -> None:
    metric = ImagesPerSecond()
    metric.update({}, batch(4, 0.0))
    with pytest.raises(NotEstimable, match="there already"):
        metric.compute()


def test_a_part_of_a_batch_has_no_time_of_its_own() -> None:
    assert batch(10, 0.5).rows(2, 5).seconds == 0


def test_the_definition_says_what_the_seconds_include() -> None:
    assert "generated per second, decoding included" in ImagesPerSecond().define(NAME, 3)
    reconstructed = ImagesPerSecond(how="encoded and decoded per second")
    assert reconstructed.define(NAME, 3).startswith("Images encoded and decoded per second on the")
    assert (reconstructed.heading(NAME), reconstructed.unit) == ("images/s", "1/s")
    assert (reconstructed.column, reconstructed.higher_is_better) == ("cost", True)
