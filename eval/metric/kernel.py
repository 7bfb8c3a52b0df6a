"""Kernel distances between two sets of features: KID (arXiv:1801.01401), CMMD (arXiv:2401.09603).

Both are squared maximum mean discrepancies. KID's estimate is unbiased, so its expectation does not
depend on the number of images, unlike FID's; it may be negative.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from eval.extractor.extractor import Extractor, is_of_text
from eval.metric.rows import RowsMetric, check_pair, parts_between

_CHUNK = 2048  # rows of a kernel matrix at once


def kernel_distance(
    features: Tensor, reference: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> Tensor:
    """KID of each subset, (subsets,) float64; their mean is KID.

    The kernel is ``(x . y / D + 1)^3`` and the estimate unbiased (eq. 4). Subsets are drawn without
    replacement from numpy's RandomState(seed), the features' before the reference's.

    Args:
        features: (N, D).
        reference: (M, D).
        subsets: how many.
        subset_size: features of each side in a subset.
        seed: of the subsets.

    Raises:
        ValueError: the dimensions differ, or a set has fewer features than a subset.
    """
    check_pair(features, reference)
    fewest = min(len(features), len(reference))
    if not 2 <= subset_size <= fewest:
        raise ValueError(
            f"KID's subsets of {subset_size} need 2 to {fewest} features, because there are "
            f"{len(features)} and {len(reference)}"
        )
    counts = len(features), len(reference)
    drawn = list(subset_indices(*counts, subsets, subset_size, seed))
    pairs_once = counts[0] ** 2 / 2 + counts[0] * counts[1] + counts[1] ** 2 / 2
    if pairs_once < 3 * subsets * subset_size**2:
        return _of_one_kernel(features, reference, drawn)
    distances = []
    for rows, reference_rows in drawn:
        x, y = features[rows].double(), reference[reference_rows].double()
        same = _off_diagonal(cubic(x, x)) + _off_diagonal(cubic(y, y))
        distances.append(same - 2 * cubic(x, y).mean())
    return torch.stack(distances)


def _off_diagonal(kernel: Tensor) -> Tensor:
    """The mean without the diagonal, in which a feature meets itself."""
    return (kernel.sum() - kernel.diagonal().sum()) / (len(kernel) * (len(kernel) - 1))


def _of_one_kernel(
    features: Tensor, reference: Tensor, drawn: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    """The same from one kernel of all pairs, of which each subset takes a part."""
    size = len(drawn[0][0])
    first, second = (
        torch.zeros(len(drawn), len(rows), dtype=torch.float64).scatter_(1, torch.stack(own), 1.0)
        for rows, own in zip((features, reference), zip(*drawn, strict=True), strict=True)
    )
    same = _own_sums(features, first) + _own_sums(reference, second)
    cross = torch.zeros(len(drawn), dtype=torch.float64)
    for x, chosen in zip(features.split(_CHUNK), first.split(_CHUNK, dim=1), strict=True):
        for y, others in zip(reference.split(_CHUNK), second.split(_CHUNK, dim=1), strict=True):
            cross += (chosen @ cubic(x.double(), y.double()) * others).sum(dim=1)
    return same / (size * (size - 1)) - 2 * cross / size**2


def _own_sums(rows: Tensor, chosen: Tensor) -> Tensor:
    """The kernel's sum over the pairs of different rows in each of S subsets, (S,).

    Args:
        rows: (N, D).
        chosen: (S, N), 1 where a subset has a row, else 0.
    """
    total = torch.zeros(len(chosen), dtype=torch.float64)
    parts = list(zip(rows.split(_CHUNK), chosen.split(_CHUNK, dim=1), strict=True))
    for i, (x, left) in enumerate(parts):
        for y, right in parts[:i]:
            total += 2 * (left @ cubic(x.double(), y.double()) * right).sum(dim=1)
        kernel = cubic(x.double(), x.double()).fill_diagonal_(0)
        total += (left @ kernel * left).sum(dim=1)
    return total


def subset_indices(
    first: int, second: int, subsets: int, size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The subsets' rows in each set, drawn as in published KID code."""
    random = np.random.RandomState(seed)
    for _ in range(subsets):
        rows = random.choice(first, size, replace=False)
        other_rows = random.choice(second, size, replace=False)
        yield torch.from_numpy(rows), torch.from_numpy(other_rows)


def cubic(x: Tensor, y: Tensor) -> Tensor:
    """KID's kernel ``(x . y / D + 1)^3`` of all pairs of rows: (N, M) of (N, D) and (M, D)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


class AllPairs:
    """KID's unbiased estimate over all pairs (eq. 4), without the randomness of subsets.

    It compares any number of sets with one reference.

    Args:
        reference: features (M, D), M at least 2.
    """

    def __init__(self, reference: Tensor) -> None:
        self.reference = reference

    @cached_property
    def _own(self) -> float:
        """The mean over the reference's own pairs."""
        count = len(self.reference)
        every = torch.ones(1, count, dtype=torch.float64)
        return float(_own_sums(self.reference, every)) / (count * (count - 1))

    def of(self, features: Tensor, bounds: Sequence[tuple[int, int]]) -> tuple[float, list[float]]:
        """The estimate of features (N, D), and without those of each block ``[first, last)``."""
        whole, without = self.less_own(features, bounds)
        return whole + self._own, [value + self._own for value in without]

    def less_own(
        self, features: Tensor, bounds: Sequence[tuple[int, int]]
    ) -> tuple[float, list[float]]:
        """The same less what the reference's own pairs add to each, which takes long to compute."""
        parts = parts_between(len(features), bounds)
        rows = [features[first:last] for first, last in parts]
        own = torch.zeros(len(parts), len(parts), dtype=torch.float64)
        for i, x in enumerate(rows):
            for j, y in enumerate(rows[: i + 1]):
                own[i, j] = own[j, i] = _sum(x, y)
            own[i, i] -= _diagonal_sum(x)
        cross = torch.tensor([_sum(x, self.reference) for x in rows], dtype=torch.float64)

        def over(indices: list[int]) -> float:
            count = sum(parts[i][1] - parts[i][0] for i in indices)
            within = float(own[indices][:, indices].sum()) / (count * (count - 1))
            across = float(cross[indices].sum()) / (count * len(self.reference))
            return within - 2 * across

        every = list(range(len(parts)))
        left = [[i for i in every if not a <= parts[i][0] < b] for a, b in bounds]
        return over(every), [over(indices) for indices in left if indices]


def _sum(x: Tensor, y: Tensor) -> float:
    """The kernel's sum over all pairs."""
    x = x.double()
    return sum(float(cubic(x, some.double()).sum()) for some in y.split(_CHUNK))


def _diagonal_sum(x: Tensor) -> float:
    """The part of the sum from pairs of a row with itself."""
    return float(((x.double().square().sum(dim=1) / x.shape[1] + 1) ** 3).sum())


def gaussian_mmd(features: Tensor, reference: Tensor, sigma: float = 10.0) -> float:
    """1,000 MMD^2 with the kernel ``exp(-|x - y|^2 / (2 sigma^2))``: CMMD on CLIP's embeddings.

    The plain (biased, never negative) estimate, as published; features are normalised to length 1.

    Args:
        features: (N, D).
        reference: (M, D).
        sigma: the kernel's width.
    """
    check_pair(features, reference)
    same = _mean_gaussian(features, features, sigma) + _mean_gaussian(reference, reference, sigma)
    return max(0.0, 1000 * (same - 2 * _mean_gaussian(features, reference, sigma)))


def _mean_gaussian(x: Tensor, y: Tensor, sigma: float) -> float:
    """The kernel's mean over all pairs, in chunks rather than with N x M values in memory."""
    total = 0.0
    for rows in x.split(_CHUNK):
        for columns in y.split(_CHUNK):
            squares = 2 - 2 * _unit(rows) @ _unit(columns).T
            # 1 - k keeps the digits that k loses: on unit vectors k differs from 1 by 2 % at most
            total += float(torch.expm1(-squares.clamp(min=0) / (2 * sigma**2)).sum())
    return total / (len(x) * len(y))


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x.double(), dim=1)


class KernelDistance(RowsMetric):
    """KID of the images to a reference: 100 subsets of 1,000, as in the paper.

    It is unbiased where images are drawn independently. A set with equally many images of each
    class has fewer pairs of one class than independent images would have: its KID is below that of
    independent ones by (mean kernel within classes - mean kernel) / (N - 1), far below 0 at some
    dozens of images.

    Args:
        reference: features (M, D) of the reference.
        extractor: the name of their extractor.
        feature: of the extractor.
        subsets: how many subsets.
        subset_size: images of each side in a subset; all where there are fewer.
        seed: of the subsets.
    """

    stem, title = "kid", "KID"
    distance = unbiased = True
    definition = (
        "Kernel distance between the features of generated and of training images (squared maximum "
        "mean discrepancy, cubic kernel, mean over 100 subsets). 0 is the same distribution; by "
        "chance it may be below 0. With labels drawn at random its expectation does not depend on "
        "the number of images; balanced labels lower it at small counts."
    )
    higher_is_better = False

    def __init__(
        self,
        reference: Tensor,
        extractor: str,
        feature: str | None = None,
        subsets: int = 100,
        subset_size: int = 1000,
        seed: int = 0,
    ) -> None:
        super().__init__(reference, extractor, feature)
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed

    def of(self, features: Tensor) -> dict[str, float]:
        size = min(self.subset_size, len(features), len(self.reference))
        distances = kernel_distance(features, self.reference, self.subsets, size, self.seed)
        if len(distances) > 1 and size < max(len(features), len(self.reference)):
            self.own_error = float(distances.std()) / len(distances) ** 0.5
        return {self.name: float(distances.mean())}

    def leave_out(
        self, features: Tensor, bounds: Sequence[tuple[int, int]]
    ) -> tuple[dict[str, float], list[dict[str, float]]]:
        """As in the base, with the estimate over all pairs in place of the subsets'.

        Both estimate the same number without bias, but new subsets for each block would add their
        own randomness, nine times over. That of the value's own subsets is ``own_error``.
        """
        whole = self.of(features)[self.name]
        every, without = AllPairs(self.reference).less_own(features, bounds)
        return {self.name: whole}, [{self.name: whole + value - every} for value in without]


class ClipKernelDistance(RowsMetric):
    """CMMD of the images to a reference; the paper's extractor is CLIP ViT-L/14-336."""

    stem, title = "cmmd", "CMMD"
    distance = unbiased = True
    definition = (
        "1,000 times the squared maximum mean discrepancy (Gaussian kernel of sigma 10) of CLIP's "
        "features of generated and of training images."
    )
    needs = "the image tower of a CLIP (open_clip, small_clip)"
    higher_is_better = False

    @classmethod
    def suits(cls, extractor: Extractor, num_classes: int | None) -> bool:
        return is_of_text(extractor)

    def of(self, features: Tensor) -> dict[str, float]:
        return {self.name: gaussian_mmd(features, self.reference)}
