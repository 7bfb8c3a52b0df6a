"""The order of the images of an epoch, over a whole set or in windows of a sequence of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.draw import Draw


class Shuffle(Protocol):
    """Which image each row of an epoch is, and what is drawn for it; all of it from a seed."""

    def indices(self, epoch: int, rows: slice) -> Tensor:
        """The images, (B,) int64."""

    def flips(self, epoch: int, rows: slice) -> Tensor:
        """Whether each is mirrored, (B,) bool."""

    def places(self, epoch: int, rows: slice) -> Tensor:
        """The places of their squares, (B, 2) in [0, 1): down and across."""

    def choices(self, epoch: int, rows: slice) -> Tensor:
        """Which of their captions they have, (B,) in [0, 1)."""

    def shares(self, first: int, rank: int, world_size: int) -> Iterator[Tensor]:
        """The images that a process will need, from a position on, in parts that are read at once.

        Nothing where images are read as they are asked for.
        """

    def state(self) -> dict[str, Any]:
        """The settings that fix the order, beside seed and batch size."""


class WholeShuffle:
    """One permutation of the whole set in each epoch, drawn at once.

    Args:
        size: of the set.
        seed: of order, flips, squares and captions.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._orders = lru_cache(4)(self._order)
        self._flips = lru_cache(4)(lambda epoch: self._uniform("flip", epoch) < 0.5)
        self._places = lru_cache(4)(lambda epoch: self._uniform("crop", epoch, 2))
        self._choices = lru_cache(4)(lambda epoch: self._uniform("caption", epoch))

    def _order(self, epoch: int) -> Tensor:
        return torch.randperm(self.size, generator=self._of("order", epoch))

    def _of(self, purpose: str, epoch: int) -> torch.Generator:
        return Draw(self.seed, [epoch], f"data/{purpose}").generators[0]

    def _uniform(self, purpose: str, epoch: int, *columns: int) -> Tensor:
        return torch.rand(self.size, *columns, generator=self._of(purpose, epoch))

    def indices(self, epoch: int, rows: slice) -> Tensor:
        return self._orders(epoch)[rows]

    def flips(self, epoch: int, rows: slice) -> Tensor:
        return self._flips(epoch)[rows]

    def places(self, epoch: int, rows: slice) -> Tensor:
        return self._places(epoch)[rows]

    def choices(self, epoch: int, rows: slice) -> Tensor:
        """One draw for each image, whichever its row."""
        return self._choices(epoch)[self.indices(epoch, rows)]

    def shares(self, first: int, rank: int, world_size: int) -> Iterator[Tensor]:
        return iter(())

    def state(self) -> dict[str, Any]:
        return {}


class WindowShuffle:
    """Blocks in an order of each epoch, and samples mixed within windows of consecutive blocks.

    A window's samples, block after block, are dealt to the places of a batch: the first
    of B places gets the first B-th of them, and so on, each its own at random. So a batch has
    images from everywhere in the window, and a process, whose share is a range of
    places, needs a range of the window: it reads what it trains on and nothing else, and the batch
    is the same whatever the number of processes.

    Args:
        counts: samples in each block, (M,) int64.
        seed: of order, flips, squares and captions.
        window: samples that are mixed, about.
        batch_size: places, of all processes together.
    """

    def __init__(self, counts: np.ndarray, seed: int, window: int, batch_size: int) -> None:
        self.seed, self.window, self.batch_size = seed, window, batch_size
        self._blocks = np.flatnonzero(counts)
        self._counts = counts
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self.size = int(self._starts[-1])
        self._num_windows = max(1, round(self.size / window))
        self._epoch = lru_cache(2)(self._make_epoch)
        self._window = lru_cache(4)(self._make_window)
        self._drawn = lru_cache(12)(self._draw)

    def indices(self, epoch: int, rows: slice) -> Tensor:
        return self._joined(epoch, rows, lambda w: self._window(epoch, w))

    def flips(self, epoch: int, rows: slice) -> Tensor:
        return self._joined(epoch, rows, lambda w: self._drawn("flip", epoch, w, 1)[:, 0] < 0.5)

    def places(self, epoch: int, rows: slice) -> Tensor:
        return self._joined(epoch, rows, lambda w: self._drawn("crop", epoch, w, 2))

    def choices(self, epoch: int, rows: slice) -> Tensor:
        return self._joined(epoch, rows, lambda w: self._drawn("caption", epoch, w, 1)[:, 0])

    def shares(self, first: int, rank: int, world_size: int) -> Iterator[Tensor]:
        share = self.batch_size // world_size
        epoch, row = divmod(first, self.size)
        while True:
            *_, edges = self._epoch(epoch)
            start = int(np.searchsorted(edges, row, side="right")) - 1
            for window in range(start, len(edges) - 1):
                rows = np.arange(max(row, edges[window]), edges[window + 1])
                own = (epoch * self.size + rows) % self.batch_size // share == rank
                yield self._window(epoch, window)[torch.from_numpy(rows[own] - edges[window])]
            epoch, row = epoch + 1, 0

    def state(self) -> dict[str, Any]:
        return {"shuffle_window": self.window}

    def _joined(self, epoch: int, rows: slice, of: Callable[[int], Tensor]) -> Tensor:
        """The rows of what each window holds."""
        *_, edges = self._epoch(epoch)
        first = int(np.searchsorted(edges, rows.start, side="right")) - 1
        parts = []
        while first < len(edges) - 1 and edges[first] < rows.stop:
            start, stop = int(edges[first]), int(edges[first + 1])
            parts.append(of(first)[max(rows.start - start, 0) : min(rows.stop, stop) - start])
            first += 1
        return torch.cat(parts)

    def _draw(self, purpose: str, epoch: int, window: int, columns: int) -> Tensor:
        *_, edges = self._epoch(epoch)
        generator = Draw(self.seed, [window], f"data/{purpose}/{epoch}").generators[0]
        return torch.rand(int(edges[window + 1] - edges[window]), columns, generator=generator)

    def _make_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The blocks in order, and each window's first block and first row, the ends behind."""
        generator = Draw(self.seed, [epoch], "data/order").generators[0]
        order = self._blocks[torch.randperm(len(self._blocks), generator=generator).numpy()]
        before = np.concatenate([[0], np.cumsum(self._counts[order])])
        windows = before[:-1] * self._num_windows // self.size
        cuts = np.concatenate([[0], np.flatnonzero(np.diff(windows)) + 1, [len(order)]])
        return order, cuts, before[cuts]

    def _make_window(self, epoch: int, window: int) -> Tensor:
        """The sample of each row of a window, (W,) int64."""
        order, cuts, edges = self._epoch(epoch)
        own = order[cuts[window] : cuts[window + 1]]
        samples = np.concatenate(
            [np.arange(self._starts[b], self._starts[b] + self._counts[b]) for b in own]
        )
        rows = np.arange(edges[window], edges[window + 1])
        place = (epoch * self.size + rows) % self.batch_size
        noise = self._draw("window", epoch, window, 1)[:, 0].numpy()
        indices = np.empty(len(rows), np.int64)
        indices[np.lexsort((noise, place))] = samples
        return torch.from_numpy(indices)
