"""Count, mean and covariance of features, in float64 and in memory independent of the count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eval.moments.npz import SUFFIXES, npz_bytes, read_moments
from eval.moments.triangle import add_products, empty_scatter, from_square, to_square
from zoo.system.files import write_atomically

_ROWS = 1024  # one product of 1,024 rows costs a third of sixteen products of 64


class FeatureStatistics:
    """The first two moments of a set of features, all that a Fréchet distance depends on.

    Rows are gathered before they are multiplied into the scatter matrix. While there are no more
    of them than dimensions, they are kept: a covariance of that rank loses digits that the rows
    themselves still have.

    At 2,048 dimensions that is 32 MiB of rows and 18 MiB of sums, however many features come.

    Args:
        features: the first features, (N, D); empty when None.

    Attributes:
        count: how many features there are; None where a statistics file did not say.

    >>> both = FeatureStatistics(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    >>> both.update(torch.tensor([[1.0, 3.0]]))
    >>> both.count, both.mean.tolist(), both.covariance.tolist()
    (3, [1.0, 1.0], [[1.0, 0.0], [0.0, 3.0]])
    """

    def __init__(self, features: Tensor | None = None) -> None:
        self.count: int | None = 0
        self._buffer = torch.empty(0, 0, dtype=torch.float64)
        self._num_rows = 0  # of the buffer, not yet in the scatter matrix
        self._summed = 0  # how many features _mean and _scatter are made of
        self._mean = torch.empty(0, dtype=torch.float64)
        self._scatter = torch.empty(0, dtype=torch.float64)  # sum of centred outer products
        self._covariance: Tensor | None = None  # the covariance of a file without a count
        if features is not None:
            self.update(features)

    @classmethod
    def from_moments(cls, mean: Tensor, covariance: Tensor, count: int | None) -> FeatureStatistics:
        """Statistics of a mean (D,), an unbiased covariance (D, D) and a count, None if unknown.

        Raises:
            ValueError: the shapes do not fit, the covariance is not symmetric, a number is not
                finite, or the count is below 2.
        """
        mean, covariance = (_float64(x) for x in (mean, covariance))
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise ValueError(
                f"a mean (D,) and a covariance (D, D) are needed, got {tuple(mean.shape)} and "
                f"{tuple(covariance.shape)}"
            )
        if not (mean.isfinite().all() and covariance.isfinite().all()):
            raise ValueError("a mean or covariance with NaN or infinite values")
        if (covariance - covariance.T).abs().max() > 1e-4 * covariance.abs().max():
            raise ValueError("a covariance that is not symmetric")
        if count is None:
            statistics = cls()
            statistics.count, statistics._mean, statistics._covariance = None, mean, covariance
            return statistics
        if count < 2:
            raise ValueError(f"a covariance is made of at least 2 features, not of {count}")
        return cls.from_sums(mean, from_square(covariance).mul_(count - 1), count)

    @classmethod
    def from_sums(cls, mean: Tensor, scatter: Tensor, count: int) -> FeatureStatistics:
        """Statistics of ``count`` features with a mean (D,) float64 and a scatter matrix.

        That is the sum of their centred outer products, as ``eval.moments.triangle`` stores it; it
        is not copied.
        """
        statistics = cls()
        statistics.count = statistics._summed = count
        statistics._mean, statistics._scatter = mean, scatter
        return statistics

    @property
    def dimensions(self) -> int:
        """The length of a feature."""
        if not self._num_rows:
            self._need(1)
        return self._buffer.shape[1] if self._num_rows else len(self._mean)

    @property
    def mean(self) -> Tensor:
        """(D,) float64."""
        self._need(1)
        if self._complete:
            return self._buffered.mean(dim=0)
        self._flush()
        return self._mean

    @property
    def covariance(self) -> Tensor:
        """(D, D) float64, unbiased (divided by count - 1)."""
        self._need(2)
        if self._covariance is not None:
            return self._covariance
        centred = self.centred
        if centred is not None:
            return (centred.T @ centred).div_(len(centred) - 1)
        self._flush()
        return to_square(self._scatter, self.dimensions).div_(self._summed - 1)

    @property
    def centred(self) -> Tensor | None:
        """The features less their mean, (N, D) float64, while N <= D; None afterwards."""
        self._need(1)
        return self._buffered - self._buffered.mean(dim=0) if self._complete else None

    def update(self, features: Tensor) -> None:
        """Adds features (B, D) of any floating type and device.

        Raises:
            ValueError: they are not (B, D), D differs from before, or one is NaN or infinite.
        """
        if features.ndim != 2:
            raise ValueError(f"features are (B, D), got {tuple(features.shape)}")
        if self.count is None:
            raise ValueError("statistics without a count cannot be added to")
        size = features.shape[1]
        if self.count and size != self.dimensions:
            raise ValueError(f"features of {size} dimensions, {self.dimensions} before")
        if not features.isfinite().all():
            raise ValueError("features with NaN or infinite values: is an image broken?")
        if not len(self._buffer):
            self._buffer = torch.empty(max(_ROWS, size), size, dtype=torch.float64)
        self.count += len(features)
        left = features.detach()
        while len(left):
            if self._num_rows == len(self._buffer):
                self._flush()
            part = left[: len(self._buffer) - self._num_rows]
            self._buffer[self._num_rows : self._num_rows + len(part)] = part
            self._num_rows += len(part)
            left = left[len(part) :]

    def merge(self, statistics: FeatureStatistics) -> None:
        """Adds the features that other statistics were made of; those stay as they are.

        Raises:
            ValueError: a count is unknown or the dimensions differ.
        """
        if self.count is None or statistics.count is None:
            raise ValueError("statistics without a count cannot be merged")
        if statistics.count == 0:
            return
        if self.count and statistics.dimensions != self.dimensions:
            raise ValueError(f"{statistics.dimensions} dimensions merged into {self.dimensions}")
        if statistics._summed:
            self._pool(statistics._summed, statistics._mean)
            self._scatter += statistics._scatter
            self.count += statistics._summed
        if statistics._num_rows:
            self.update(statistics._buffered)

    def save(self, path: str | Path) -> Path:
        """Writes ``mu``, ``sigma`` and ``count`` as npz, the centred features too while kept.

        ``mu`` and ``sigma`` are named as in pytorch-fid and clean-fid.
        """
        return write_atomically(path, npz_bytes(self.arrays()))

    def arrays(self, feature: str = "pool") -> dict[str, np.ndarray]:
        """The arrays of a statistics file, "mu_s" and "sigma_s" of a "spatial" feature."""
        suffix = SUFFIXES[feature]
        arrays = {f"mu{suffix}": self.mean.numpy(), f"sigma{suffix}": self.covariance.numpy()}
        if self.count is not None:
            arrays["count"] = np.array(self.count)
        if not suffix and (centred := self.centred) is not None:
            arrays["centred"] = centred.numpy()
        return arrays

    @classmethod
    def load(cls, path: str | Path, feature: str = "pool") -> FeatureStatistics:
        """Reads a statistics file of pytorch-fid, clean-fid, ADM, EDM or the zoo's own.

        Args:
            path: an npz with ``mu`` and ``sigma``, and ``count`` and ``centred`` where it has them.
            feature: "pool", or "spatial" for ADM's ``mu_s`` and ``sigma_s``.

        Raises:
            ValueError: the file is missing, not an npz, or holds other arrays.
        """
        arrays = read_moments(path, feature)
        try:
            mean = torch.from_numpy(arrays["mu"])
            if "centred" in arrays:
                return cls(torch.from_numpy(arrays["centred"]) + mean)
            count = int(arrays["count"]) if "count" in arrays else None
            return cls.from_moments(mean, torch.from_numpy(arrays["sigma"]), count)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"{path}: not statistics of features ({error})") from error

    @property
    def _buffered(self) -> Tensor:
        return self._buffer[: self._num_rows]

    @property
    def _complete(self) -> bool:
        """Whether every feature is in the buffer, as it is while there are at most D of them."""
        return self._covariance is None and not self._summed and self._num_rows <= self.dimensions

    def _flush(self) -> None:
        """Moves gathered rows into the sums."""
        if not self._num_rows:
            return
        rows = self._buffered
        mean = rows.mean(dim=0)
        rows -= mean
        self._pool(len(rows), mean)
        add_products(self._scatter, rows)
        self._num_rows = 0

    def _pool(self, count: int, mean: Tensor) -> None:
        """The sums' part of ``count`` features with this mean but without their own scatter.

        That is Chan, Golub & LeVeque 1979, eq. 2.1.
        """
        if not self._summed:
            self._summed, self._mean, self._scatter = count, mean, empty_scatter(len(mean))
            return
        total = self._summed + count
        gap = mean - self._mean
        add_products(self._scatter, gap[None], scale=self._summed * count / total)
        self._mean = self._mean + gap * (count / total)
        self._summed = total

    def _need(self, least: int) -> None:
        if self.count is not None and self.count < least:
            raise ValueError(f"statistics of {self.count} features; at least {least} are needed")


def _float64(values: Tensor) -> Tensor:
    return values.to("cpu", torch.float64)
