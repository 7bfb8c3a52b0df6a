"""Threads that read shards ahead of their use, within a limit of memory."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from zoo.data.shards.source import Read, Sample

THREADS = {True: 4, False: 16}
"""That read at a time: from a disk of this machine, or from a store, which answers late."""
_SLACK = 1.25  # of a part's bytes, that may be held while the next part is read


class Source(Protocol):
    """What can say in which pieces samples are read."""

    def reads(self, indices: np.ndarray, images: bool = True) -> list[tuple[np.ndarray, Read]]:
        """The pieces, each with the samples that it gives."""


class _State:
    """What the threads share; it knows nothing of who uses it, who may then be collected."""

    def __init__(self, source: Source, parts: Iterator[Tensor]) -> None:
        self.source, self.parts = source, parts
        self.changed = threading.Condition()
        self.pieces: deque[tuple[int, np.ndarray, Read]] = deque()
        self.samples: dict[int, deque[Sample]] = {}
        self.error: BaseException | None = None
        self.part = -1  # the last whose pieces are known
        self.open: dict[int, int] = {}  # samples of a part that are not taken yet
        self.owner: dict[int, deque[int]] = {}  # the parts that a sample is expected from
        self.wanted = -1  # the last part that somebody waits for
        self.held = self.largest = 0  # bytes, those of pieces under way included
        self.planning = self.ended = self.closed = False

    def next_piece(self) -> tuple[int, np.ndarray, Read] | None:
        """What to read now; waits for room. None at the end. The lock is held."""
        while not self.closed:
            if not (self.pieces or self.planning or self.ended) and len(self.open) < 2:
                self.planning = True
                self.changed.release()
                try:
                    part = next(self.parts, None)
                    pieces = [] if part is None else self.source.reads(part.numpy())
                finally:
                    self.changed.acquire()
                    self.planning = False
                self.ended = part is None
                self._plan(pieces)
                if not self.pieces and not self.ended:
                    continue  # none of that part is ours
            if self.ended and not self.pieces:
                return None
            if self.pieces:
                number, _, read = self.pieces[0]
                needed = number <= max(self.wanted, min(self.open, default=number))
                if needed or self.held + read.size <= _SLACK * self.largest:
                    self.held += read.size
                    return self.pieces.popleft()
            self.changed.wait()
        return None

    def expects(self, index: int) -> bool:
        """Whether a sample is about to come, or may be in a part that is not known yet."""
        return index in self.owner or self.planning or not (self.ended or len(self.open) >= 2)

    def _plan(self, pieces: Sequence[tuple[np.ndarray, Read]]) -> None:
        self.part += 1
        if pieces:
            self.open[self.part] = sum(len(indices) for indices, _ in pieces)
        self.largest = max(self.largest, sum(read.size for _, read in pieces))
        for indices, read in pieces:
            self.pieces.append((self.part, indices, read))
            for index in indices.tolist():
                self.owner.setdefault(index, deque()).append(self.part)
        self.changed.notify_all()


class Ahead:
    """Reads samples in threads before they are asked for; each is handed out once.

    One part is read while the last one is used, and not more of it than there is room for: about
    the bytes of one part and a quarter.

    Args:
        source: of the samples.
        parts: the samples of one part after another, an endless or a finite sequence; each sample
            of a part is asked for once, before those of the part behind the next.
        local: whether they are on this machine, which takes fewer threads.
    """

    def __init__(self, source: Source, parts: Iterator[Tensor], local: bool) -> None:
        self._state = _State(source, parts)
        self._close = weakref.finalize(self, _close, self._state)
        for number in range(THREADS[local]):
            threading.Thread(
                target=_work, args=(self._state,), name=f"shards-{number}", daemon=True
            ).start()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def take(self, indices: Sequence[int]) -> list[Sample | None]:
        """These samples, waited for where they are being read; None where they are no part's.

        Raises:
            ValueError: one cannot be read; the shard is named.
        """
        state, samples = self._state, []
        with state.changed:
            for index in indices:
                while not state.samples.get(index):
                    if state.error is not None:
                        raise state.error
                    if state.closed or not state.expects(index):
                        break
                    state.wanted = max([state.wanted, *list(state.owner.get(index, ()))[:1]])
                    state.changed.notify_all()
                    state.changed.wait()
                samples.append(self._handed_out(index))
            state.changed.notify_all()
        return samples

    def _handed_out(self, index: int) -> Sample | None:
        state = self._state
        if not state.samples.get(index):
            return None
        sample, part = state.samples[index].popleft(), state.owner[index].popleft()
        if not state.owner[index]:
            del state.samples[index], state.owner[index]
        state.held -= sample.size
        state.open[part] -= 1
        if not state.open[part]:
            del state.open[part]
        return sample


def _close(state: _State) -> None:
    with state.changed:
        state.closed = True
        state.pieces.clear()
        state.samples.clear()
        state.changed.notify_all()


def _work(state: _State) -> None:
    """What a thread does: reads pieces until there are none, it is told to stop, or one fails."""
    while True:
        try:
            with state.changed:
                piece = None if state.error else state.next_piece()
            if piece is None:
                return
            _, indices, read = piece
            samples = read.samples()
        except BaseException as error:  # it is raised where the samples are used
            with state.changed:
                state.error = error
                state.changed.notify_all()
            return
        with state.changed:
            if state.closed:
                return
            state.held -= read.size
            for index, sample in zip(indices.tolist(), samples, strict=True):
                state.samples.setdefault(index, deque()).append(sample)
                state.held += sample.size
            state.changed.notify_all()
