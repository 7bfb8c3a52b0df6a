"""Images of a saved model made by several processes: the batches of one process, in its order."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from eval.source.worker import Failed, Job, Made, work
from zoo.system.progress import Meter

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from eval.source.batch import Images, Wanted


def devices(count: int, accelerator: str) -> list[str]:
    """The devices of ``count`` workers: the CPU as often, or as many GPUs.

    Args:
        count: how many processes.
        accelerator: "cpu", "gpu" or "mps", as ``zoo.system.device.accelerator`` gives it.

    Raises:
        ValueError: fewer than one, or more than there are GPUs.
    """
    there = 1
    if accelerator == "gpu":
        import torch

        there = torch.cuda.device_count()
    if count < 1 or (accelerator != "cpu" and count > there):
        most = "" if accelerator == "cpu" else f" to {there}"
        raise ValueError(f"devices={count}: possible with device={accelerator} are 1{most}")
    if accelerator == "gpu":
        return [f"cuda:{index}" for index in range(count)]
    return [accelerator] * count


def generated_in_parallel(
    path: str | Path,
    want: Wanted,
    num_images: int,
    seed: int = 0,
    batch_size: int = 256,
    sampler: Any = None,
    guidance: Any = None,
    devices: Sequence[str] = ("cpu", "cpu"),
    trust: Sequence[str] = (),
    first: int = 0,
    counted: Mapping[str, Any] | None = None,
    dtype: str | None = None,
) -> Iterator[Images]:
    """The batches of ``eval.source.batch.generated``, made by a worker process for each device.

    Batches are dealt in turn, so batch k is the one that a single process would make: the same
    noise bit for bit, the same images up to the networks' rounding on another device or with
    another number of threads. A worker is at most two batches ahead of the consumer. Workers end
    with the iterator, however that ends.

    Args:
        path: the model's file, which each worker loads.
        want: what the images should show.
        num_images: how many there are in all.
        seed: of the generation.
        batch_size: images at a time in a worker.
        sampler: in place of the model's own; pickled.
        guidance: in place of the model's own; pickled with the networks that it holds.
        devices: one for each worker, such as "cpu" several times, or "cuda:0" and "cuda:1". The
            caller's threads are shared by workers on the CPU.
        trust: packages, beside the zoo's own, whose classes the file may name.
        first: the first image's index.
        counted: modules by name, "" for the model and those of ``zoo.guidance.networks``; a batch's
            network evaluations are added to their ``network_evaluations`` before it is yielded.
        dtype: of the network, such as "bfloat16"; as it was saved when None.

    Yields:
        Batches whose ``seconds`` are a worker's, divided by the number of workers: their sum is
        what the generation took.

    Raises:
        ValueError: there is no device, sampler or guidance cannot be pickled, or a worker failed,
            with its number, its device and what it said.
    """
    if not devices or batch_size < 1:
        raise ValueError(f"at least 1 device and image are needed, got {devices}, {batch_size}")
    from eval.source.batch import parts

    dealt = parts(first, num_images, batch_size)
    devices = list(devices)[: len(dealt)]
    job = Job(
        Path(path), _plain(want.condition), dealt, seed, sampler, guidance,
        devices, tuple(trust), _threads() // max(1, devices.count("cpu")) or 1, dtype,
    )  # fmt: skip
    told = f"sampling {num_images - first} images in {len(devices)} processes"
    with _workers(job) as workers, Meter(num_images - first, told, "images") as meter:
        for index, part in enumerate(dealt):
            made = workers[index % len(workers)].batch(part.start)
            for name, rows in made.evaluations.items():
                if counted and name in counted:
                    counted[name].network_evaluations += rows
            meter.advance(len(made.images))
            yield _images(want, part.start, made, len(workers))


@dataclass
class _Worker:
    """The consumer's end of one process."""

    number: int
    device: str
    process: Any
    connection: Connection

    def batch(self, start: int) -> Made:
        """The next batch, which begins with image ``start``."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.dead(f"image {start} was made")
        if isinstance(message, Failed):
            error = (ValueError if message.mistake else RuntimeError)(f"{self}: {message.text}")
            error.add_note(message.trace)
            raise error
        made: Made = message
        return made

    def dead(self, before: str) -> NoReturn:
        """Raises what can be said of a process that said nothing."""
        self.process.join(5)
        code = self.process.exitcode
        why = "killed, perhaps for want of memory: lower batch_size or devices"
        if code is None or code >= 0:
            why = "what it printed says why; a script that asks for workers needs `if __name__ == "
            why += "'__main__':`"
        raise ValueError(f"{self} ended with code {code} before {before} ({why})")

    def end(self) -> None:
        """Ends the process, if it has not ended."""
        self.connection.close()
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def __str__(self) -> str:
        return f"worker {self.number} on {self.device}"


@contextmanager
def _workers(job: Job) -> Iterator[list[_Worker]]:
    """Starts a process for each device, and ends them all in the end."""
    told = _pickled(job)
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads and CUDA
    workers: list[_Worker] = []
    try:
        with _without_interrupts():
            for number, device in enumerate(job.devices):
                ours, theirs = context.Pipe()
                process = context.Process(target=work, args=(theirs, number), daemon=True)
                process.start()
                theirs.close()  # so that a dead worker is an end of file
                workers.append(_Worker(number, device, process, ours))
        for worker in workers:
            try:
                worker.connection.send_bytes(told)
            except OSError:
                worker.dead("it was told what to do")
        yield workers
    finally:
        for worker in workers:
            worker.end()


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


def _pickled(job: Job) -> bytes:
    try:
        return pickle.dumps(job)
    except Exception as error:  # pickle raises what it likes
        raise ValueError(
            f"sampler and guidance cannot be handed to other processes ({error}): define their "
            "classes at the top of a module, or use devices=1"
        ) from error


def _plain(condition: Any) -> Any:
    """A condition that a worker reads without torch: labels as an array, captions as a list."""
    return condition if condition is None or isinstance(condition, list) else condition.numpy()


def _images(want: Wanted, start: int, made: Made, workers: int) -> Images:
    import torch

    batch = want.batch(torch.from_numpy(made.images), start)
    return batch._replace(seconds=made.seconds / workers)


def _threads() -> int:
    import torch

    return torch.get_num_threads()
