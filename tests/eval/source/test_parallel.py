from __future__ import annotations

import multiprocessing
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from eval.extractor import Small
from eval.metric import frechet_distance
from eval.moments.feature_statistics import FeatureStatistics
from eval.source.batch import Images
from eval.source.generated import Conditions, generated
from eval.source.parallel import Parallel, devices, generated_in_parallel
from eval.source.workers import in_turn
from zoo.guidance import AutoGuidance
from zoo.paths import checkpoints
from zoo.sampler import DDIM

MODEL = checkpoints() / "digits" / "ddpm.safetensors"
COUNT, SEED = 24, 3
WANT = Conditions("balanced", torch.arange(COUNT) % 10, [f"a {i % 10}" for i in range(COUNT)])

TELLING = '''
import torch

from zoo.sampler import DDIM


class Telling(DDIM):
    """DDIM for even images; the bits of its noise, folded into a byte a pixel, for odd ones."""

    def steps(self, predict, x, levels, draw, schedule):
        further = draw.normal(x)
        told = folded(x) ^ folded(further)
        *_, last = super().steps(predict, x, levels, draw, schedule)
        odd = torch.tensor(draw.indices).to(x.device) % 2 == 1
        yield torch.where(odd[:, None, None, None], told / 127.5 - 1, last)


def folded(x):
    word = x.contiguous().view(torch.int32)
    return (word ^ (word >> 8) ^ (word >> 16) ^ (word >> 24)) & 255
'''

BROKEN = '''
import os
import time


class Broken:
    """What a worker cannot read."""

    def __init__(self, how):
        self.how = how

    def __setstate__(self, state):
        if state["how"] == "dies":
            os._exit(7)
        if state["how"] == "sleeps":
            time.sleep(600)
        raise ValueError("no guidance of mine\\nat all")
'''


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two modules of a user, which the workers import too."""
    (tmp_path / "telling_noise.py").write_text(TELLING)
    (tmp_path / "broken_guidance.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)


def model() -> Any:
    return zoo.load(MODEL).to(memory_format=torch.channels_last)


def guidance() -> AutoGuidance:
    torch.manual_seed(0)
    weak = zoo.load(MODEL)
    for parameter in weak.parameters():
        parameter.data.mul_(0.9)
    return AutoGuidance(weak, 2.0)


def fid(images: torch.Tensor) -> float:
    small = Small(checkpoints() / "digits" / "small_extractor.safetensors")
    real = torch.randint(256, (80, 1, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    sets = (FeatureStatistics(small(some)["pool"]) for some in (images, real))
    return frechet_distance(*sets)


@pytest.mark.slow
def test_batches_of_1_7_and_64_and_two_processes_make_the_same(own_modules: None) -> None:
    from telling_noise import Telling  # type: ignore[import-not-found]

    made: dict[Any, torch.Tensor] = {}
    for size in (1, 7, 64):
        batches = list(generated(model(), WANT, COUNT, SEED, size, Telling(2), guidance()))
        made[size] = torch.cat([batch.images for batch in batches])

    one = list(generated(model(), WANT, COUNT, SEED, 7, Telling(2), guidance(), first=2))
    arguments = (WANT, COUNT, SEED, 7, Telling(2), guidance())
    two = list(generated_in_parallel(Parallel(MODEL), *arguments, first=2))
    assert [len(batch.images) for batch in two] == [7, 7, 8]
    for ours, theirs in zip(one, two, strict=True):
        assert torch.equal(ours.labels, theirs.labels) and ours.captions == theirs.captions
        assert theirs.seconds > 0
        rows = len(ours.images) * 2
        assert ours.evaluations == theirs.evaluations == {"": rows, "weak": rows}
    assert not multiprocessing.active_children()

    made["two processes"] = torch.cat([made[7][:2], *(batch.images for batch in two)])
    expected = made[64]
    for images in made.values():
        assert torch.equal(images[1::2], expected[1::2])  # the noise, bit for bit
        off = (images[::2].int() - expected[::2].int()).abs()
        assert off.max() <= 1 and (off > 0).float().mean() < 1e-3
        # a pixel that rounding tips over moves FID by less than 1e-6 at some thousand images only
        assert fid(images) == pytest.approx(fid(expected), rel=1e-4)
    assert torch.equal(made["two processes"], made[7])
    assert fid(made["two processes"]) == pytest.approx(fid(made[7]), rel=1e-6)


def test_a_worker_that_fails_or_dies_is_named_in_one_line(own_modules: None) -> None:
    from broken_guidance import Broken  # type: ignore[import-not-found]

    def parallel(how: str) -> Images:
        return next(generated_in_parallel(Parallel(MODEL), WANT, COUNT, guidance=Broken(how)))

    with pytest.raises(ValueError) as error:
        parallel("fails")
    assert str(error.value) == "worker 0 on cpu: no guidance of mine at all"
    assert "__setstate__" in error.value.__notes__[0]  # the worker's own traceback
    with pytest.raises(ValueError, match=r"^worker 0 on cpu ended with code 7 before image 0 was"):
        parallel("dies")
    assert not multiprocessing.active_children()


def test_ctrl_c_ends_every_worker(own_modules: None) -> None:
    from broken_guidance import Broken

    def interrupt(*_: Any) -> None:
        assert len(multiprocessing.active_children()) == 2
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)  # ignored, where the tests run in the background
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(
                generated_in_parallel(
                    Parallel(MODEL), WANT, COUNT, batch_size=4, guidance=Broken("sleeps")
                )
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not multiprocessing.active_children()
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_worker_waits_for_its_consumer() -> None:
    """At most two tasks a worker are ahead of the consumer, however many there are."""
    begun: list[int] = []

    def work(task: int) -> int:
        begun.append(task)
        return task

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        results = in_turn([one, other], work, range(20))
        assert next(results) == 0
        for pool in (one, other):
            pool.submit(int).result()  # whatever was given before is done
        assert sorted(begun) == [0, 1, 2, 3]
        assert list(results) == list(range(1, 20))
    assert sorted(begun) == list(range(20))


def test_what_cannot_be_handed_over_or_is_not_there_is_refused() -> None:
    local = type("Local", (), {})()
    with pytest.raises(ValueError, match="sampler and guidance cannot be handed to other"):
        next(generated_in_parallel(Parallel(MODEL), WANT, COUNT, guidance=local))
    with pytest.raises(ValueError, match="at least 1 device"):
        next(generated_in_parallel(Parallel(MODEL, []), WANT, COUNT))
    assert devices(3, "cpu") == ["cpu"] * 3
    with pytest.raises(ValueError, match="devices=0: possible with device=cpu are 1"):
        devices(0, "cpu")
    with pytest.raises(ValueError, match="devices=2: possible with device=mps are 1 to 1"):
        devices(2, "mps")


def test_a_worker_computes_in_the_number_format_that_is_recorded() -> None:
    def made(dtype: str | None) -> torch.Tensor:
        where = Parallel(MODEL, ["cpu"], dtype=dtype)
        (batch,) = generated_in_parallel(where, Conditions("", None, None), 4, SEED, 4, DDIM(2))
        return batch.images

    rounded = model().to(torch.bfloat16).generate(4, sampler=DDIM(2), seed=SEED)
    assert torch.equal(made("bfloat16"), rounded)
    assert not torch.equal(made(None), rounded)
