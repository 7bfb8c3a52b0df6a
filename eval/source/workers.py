"""Worker processes, each alone in a pool of its own, and tasks dealt to them in turn."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TypeVar

_AHEAD = 2  # tasks that a worker has before the result of the first is consumed

T = TypeVar("T")
U = TypeVar("U")


def in_turn(pools: Sequence[Executor], work: Callable[[T], U], tasks: Sequence[T]) -> Iterator[U]:
    """The results in the order of the tasks, which are dealt in turn, a few ahead to each pool."""
    waiting: deque[Future[U]] = deque()
    for index, task in enumerate(tasks):
        if len(waiting) == _AHEAD * len(pools):
            yield waiting.popleft().result()
        waiting.append(pools[index % len(pools)].submit(work, task))
    while waiting:
        yield waiting.popleft().result()


@dataclass
class Worker:
    """One process in a pool of its own, with its device and a name in errors."""

    number: int
    device: str
    pool: ProcessPoolExecutor

    @contextmanager
    def named_in_errors(self, start: int) -> Iterator[None]:
        """Within, errors name this worker; ``start`` is the index of its current image."""
        processes = list(self.pool._processes.values())
        try:
            yield
        except BrokenProcessPool as error:
            processes[0].join(5)
            code = processes[0].exitcode
            why = "killed, perhaps for want of memory: lower batch_size or devices"
            if code is None or code >= 0:
                why = "its output says why; a script that starts workers needs `if "
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
            error_of_worker = kind(f"{self}: {text}")
            error_of_worker.add_note(str(error.__cause__))  # the worker's own traceback
            raise error_of_worker from error

    def __str__(self) -> str:
        return f"worker {self.number} on {self.device}"


@contextmanager
def worker_process(
    number: int, device: str, begin: Callable[[bytes, str], None], job: bytes
) -> Iterator[Worker]:
    """Starts a process that calls ``begin(job, device)``; ends it afterwards, even if busy."""
    # spawned: a fork would inherit threads and CUDA
    pool = ProcessPoolExecutor(1, get_context("spawn"), begin, (job, device))
    processes = []
    try:
        with _without_interrupts():
            pool.submit(int).add_done_callback(lambda future: future.exception())
            processes = list(pool._processes.values())
        yield Worker(number, device, pool)
    finally:
        for process in processes:  # the pool would wait for the task in progress
            process.terminate()
            process.join(5)
            if process.is_alive():
                process.kill()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started within ignore Ctrl-C, which the parent handles."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
