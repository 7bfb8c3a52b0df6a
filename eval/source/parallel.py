"""Images of a saved model made by several processes: the batches of one process, in its order."""

from __future__ import annotations

import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from eval.source.batch import Images
from eval.source.generated import Conditions, counting, evaluating, parts
from zoo import checkpoint
from zoo.guidance import Guidance
from zoo.module import DiffusionModule
from zoo.sampler import Sampler
from zoo.system.progress import Meter

_AHEAD = 2  # batches that a worker is given before the first of them is consumed

T = TypeVar("T")
U = TypeVar("U")


def devices(count: int, kind: str) -> list[str]:
    """The devices of ``count`` workers: the CPU as often, or as many GPUs.

    Args:
        count: how many processes.
        kind: "cpu", "gpu" or "mps", as ``zoo.system.device.accelerator`` gives it.

    Raises:
        ValueError: fewer than one, or more than there are GPUs.
    """
    there = torch.cuda.device_count() if kind == "gpu" else 1
    if count < 1 or (kind != "cpu" and count > there):
        most = "" if kind == "cpu" else f" to {there}"
        raise ValueError(f"devices={count}: possible with device={kind} are 1{most}")
    return [f"cuda:{index}" for index in range(count)] if kind == "gpu" else [kind] * count


@dataclass(frozen=True)
class Parallel:
    """Where and how a saved model's images are made by several processes.

    Args:
        path: the model's file, which each worker loads.
        devices: one for each worker, such as "cpu" several times, or "cuda:0" and "cuda:1". The
            caller's threads are shared by workers on the CPU.
        trust: packages, beside the zoo's own, whose classes the file may name.
        dtype: of the network, such as "bfloat16"; as it was saved when None.
    """

    path: Path
    devices: Sequence[str] = ("cpu", "cpu")
    trust: Sequence[str] = ()
    dtype: str | None = None


def generated_in_parallel(
    where: Parallel,
    wanted: Conditions,
    num_images: int,
    seed: int = 0,
    batch_size: int = 256,
    sampler: Sampler | None = None,
    guidance: Guidance | None = None,
    first: int = 0,
) -> Iterator[Images]:
    """The batches of ``generated``, made by a worker process for each device.

    Batches are dealt in turn, so batch k is the one that a single process would make: the same
    noise bit for bit, the same images up to the networks' rounding on another device or with
    another number of threads. Workers end with the iterator, however that ends.

    Args:
        where: file and devices.
        wanted: what the images should show.
        num_images: how many there are in all.
        seed: of the generation.
        batch_size: images at a time in a worker.
        sampler: in place of the model's own; pickled.
        guidance: in place of the model's own; pickled with the networks that it holds.
        first: the first image's index.

    Yields:
        Batches whose ``seconds`` are a worker's, divided by the number of workers: their sum is
        what the generation took.

    Raises:
        ValueError: there is no device, sampler or guidance cannot be pickled, or a worker failed,
            with its number, its device and what it said.
    """
    if not where.devices or batch_size < 1:
        raise ValueError(
            f"at least 1 device and image are needed, got {list(where.devices)}, {batch_size}"
        )
    dealt = parts(first, num_images, batch_size)
    names = list(where.devices)[: len(dealt)]
    threads = torch.get_num_threads() // max(1, names.count("cpu")) or 1
    job = _pickled(_Job(where, wanted.raw, seed, sampler, guidance, threads))
    text = f"sampling {num_images - first} images in {len(names)} processes"
    with ExitStack() as stack, Meter(num_images - first, text, "images") as meter:
        workers = [
            stack.enter_context(_worker(number, device, job)) for number, device in enumerate(names)
        ]
        batches = in_turn([worker.pool for worker in workers], _batch, dealt)
        for index, indices in enumerate(dealt):
            with workers[index % len(workers)].named_in_errors(indices.start):
                batch = next(batches)
            meter.advance(len(indices))
            images = wanted.batch(
                torch.from_numpy(batch.images), indices.start, batch.seconds / len(workers)
            )
            yield images._replace(evaluations=batch.evaluations)


def in_turn(pools: Sequence[Executor], work: Callable[[T], U], tasks: Sequence[T]) -> Iterator[U]:
    """The results in the order of the tasks, dealt in turn, each pool a few tasks ahead."""
    waiting: deque[Future[U]] = deque()
    for index, task in enumerate(tasks):
        if len(waiting) == _AHEAD * len(pools):
            yield waiting.popleft().result()
        waiting.append(pools[index % len(pools)].submit(work, task))
    while waiting:
        yield waiting.popleft().result()


# The consumer's end


@dataclass
class _Worker:
    """One process, alone in a pool of its own: it has its device, and a name in errors."""

    number: int
    device: str
    pool: ProcessPoolExecutor

    @contextmanager
    def named_in_errors(self, start: int) -> Iterator[None]:
        """Within, what goes wrong in this worker says so; ``start`` is the image it is at."""
        processes = list(self.pool._processes.values())
        try:
            yield
        except BrokenProcessPool as error:
            processes[0].join(5)
            code = processes[0].exitcode
            why = "killed, perhaps for want of memory: lower batch_size or devices"
            if code is None or code >= 0:
                why = "what it printed says why; a script that asks for workers needs `if "
                why += "__name__ == '__main__':`"
            raise ValueError(
                f"{self} ended with code {code} before image {start} was made ({why})"
            ) from error
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            kind = ValueError if isinstance(error, ValueError | OSError) else RuntimeError
            if type(error).__name__ == "OutOfMemoryError":
                kind, text = ValueError, "out of memory: lower batch_size"
            elif kind is RuntimeError:
                text = f"{type(error).__name__}: {text}"
            named = kind(f"{self}: {text}")
            named.add_note(str(error.__cause__))  # the worker's own traceback
            raise named from error

    def __str__(self) -> str:
        return f"worker {self.number} on {self.device}"


@contextmanager
def _worker(number: int, device: str, job: bytes) -> Iterator[_Worker]:
    """Starts a process, and ends it whatever it is doing."""
    # spawned: a fork would inherit threads and CUDA
    pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (job, device))
    processes = []
    try:
        with _without_interrupts():
            pool.submit(int).add_done_callback(lambda future: future.exception())
            processes = list(pool._processes.values())
        yield _Worker(number, device, pool)
    finally:
        for process in processes:  # the pool would wait for the batch that is being made
            process.terminate()
            process.join(5)
            if process.is_alive():
                process.kill()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started within ignore Ctrl-C, which is the consumer's to answer."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def _pickled(job: _Job) -> bytes:
    try:
        return pickle.dumps(job)
    except Exception as error:  # pickle raises what it likes
        raise ValueError(
            f"sampler and guidance cannot be handed to other processes ({error}): define their "
            "classes at the top of a module, or use devices=1"
        ) from error


# The worker's end


class _Job(NamedTuple):
    """What every worker is to do."""

    where: Parallel
    condition: Tensor | list[str] | None
    seed: int
    sampler: Sampler | None
    guidance: Guidance | None
    threads: int


class _Batch(NamedTuple):
    """A batch as it comes out of a worker."""

    images: np.ndarray
    seconds: float
    evaluations: dict[str, int]


class _State:
    """What a worker process holds: its job, read with the first batch so that errors travel."""

    job: bytes
    device: str
    ready: tuple[_Job, DiffusionModule] | None = None


def _begin(job: bytes, device: str) -> None:
    _State.job, _State.device = job, device


def _batch(indices: range) -> _Batch:
    """Images of these indices, in a worker."""
    if _State.ready is None:
        _State.ready = _prepared(pickle.loads(_State.job), torch.device(_State.device))
    job, module = _State.ready
    condition = None if job.condition is None else job.condition[indices.start : indices.stop]
    started = time.perf_counter()
    with counting(evaluating(module, job.guidance)) as evaluations:
        images = module.generate(
            len(indices), condition, job.sampler, job.guidance, job.seed, indices=indices
        )
    return _Batch(images.numpy(), time.perf_counter() - started, evaluations)


def _prepared(job: _Job, device: torch.device) -> tuple[_Job, DiffusionModule]:
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(job.threads)
    module = checkpoint.load(job.where.path, job.where.trust)
    if job.where.dtype is not None:
        module.to(getattr(torch, job.where.dtype))
    return job, module.to(device, memory_format=torch.channels_last)  # as zoo evaluate has it
