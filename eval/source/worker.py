"""What a process does that makes a share of a model's images for another: see ``parallel``.

torch is imported where it is used: what cannot be read is complained of at once.
"""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from numpy import ndarray


class Job(NamedTuple):
    """What every worker is told."""

    path: Path
    condition: Any
    parts: list[range]
    seed: int
    sampler: Any
    guidance: Any
    devices: list[str]
    trust: tuple[str, ...]
    threads: int
    dtype: str | None


class Made(NamedTuple):
    """A batch as it comes out of a worker."""

    images: ndarray
    seconds: float
    evaluations: dict[str, int]


class Failed(NamedTuple):
    """What a worker says before it ends."""

    text: str
    mistake: bool
    trace: str


def work(connection: Connection, number: int) -> None:
    """A worker's whole life."""
    with suppress(BrokenPipeError, EOFError, ConnectionResetError):  # the consumer has gone
        try:
            job: Job = pickle.loads(connection.recv_bytes())
            with ThreadPoolExecutor(1) as pool:  # hands one batch over while the next is made
                handed: Future[None] | None = None
                for made in _batches(job, number):
                    if handed is not None:
                        handed.result()
                    handed = pool.submit(connection.send, made)
                if handed is not None:
                    handed.result()
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            mistake = isinstance(error, ValueError | OSError)
            if type(error).__name__ == "OutOfMemoryError":
                mistake, text = True, f"out of memory: lower batch_size, now {len(job.parts[0])}"
            told = text if mistake else f"{type(error).__name__}: {text}"
            connection.send(Failed(told, mistake, traceback.format_exc()))


def _batches(job: Job, number: int) -> Iterator[Made]:
    """This worker's batches."""
    import torch

    from zoo import checkpoint
    from zoo.guidance import networks

    device = torch.device(job.devices[number])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(job.threads)
    module = checkpoint.load(job.path, job.trust)
    if job.dtype is not None:
        module.to(getattr(torch, job.dtype))
    module.to(device, memory_format=torch.channels_last)  # as zoo evaluate has it
    modules = {"": module, **dict(networks(job.guidance))}
    for indices in job.parts[number :: len(job.devices)]:
        condition = job.condition
        if condition is not None:
            rows = condition[indices.start : indices.stop]
            condition = rows if isinstance(rows, list) else torch.from_numpy(rows)
        for counter in modules.values():
            counter.network_evaluations = 0
        began = time.perf_counter()
        images = module.generate(
            len(indices), condition, job.sampler, job.guidance, job.seed, indices=indices
        )
        seconds = time.perf_counter() - began
        evaluations = {name: each.network_evaluations for name, each in modules.items()}
        yield Made(images.numpy(), seconds, evaluations)
