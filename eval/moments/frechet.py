"""The Fréchet distance between two sets of features, taken as Gaussians (FID, arXiv:1706.08500)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from eval.moments.feature_statistics import FeatureStatistics

_LOST = 1e-12  # the share of the root's trace that its eigenvalues may have lost to rounding


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))`` (FID, eq. 6); at least 0, never NaN.

    The trace of the root is the sum of the singular values of ``F_a^T F_b`` for any factors
    ``S = F F^T``: of the centred features themselves where a set has no more of them than
    dimensions, else of Cholesky factors. Nothing is squared that would lose the small eigenvalues
    of a rank-deficient covariance, which is where scipy's ``sqrtm`` goes wrong.

    Raises:
        ValueError: the dimensions differ, or a set has fewer than two features.
    """
    if a.dimensions != b.dimensions:
        raise ValueError(
            f"features of {a.dimensions} and {b.dimensions} dimensions cannot be compared: "
            "were they made by one extractor?"
        )
    gap = (a.mean - b.mean).square().sum()
    first, second = _factors(a, b)
    return max(0.0, float(gap + first.trace + second.trace - 2 * _trace_of_root(first, second)))


class Factor(NamedTuple):
    """F (D, K) with ``F F^T`` the covariance S.

    Attributes:
        matrix: F.
        trace: of S.
        log_volume: ``log det F`` of a triangular F, else None.
    """

    matrix: Tensor
    trace: Tensor
    log_volume: Tensor | None = None


def _factors(a: FeatureStatistics, b: FeatureStatistics) -> list[Factor]:
    if a.centred is None and b.centred is None:
        covariances = a.covariance, b.covariance
        # The order of features is free. With falling variance the factors' columns fall too, and
        # eigenvalues of their product keep their digits down to the smallest.
        order = (a.covariance.diagonal() * b.covariance.diagonal()).argsort(descending=True)
        return [_of_covariance(covariance[order][:, order]) for covariance in covariances]
    return [factor_of(statistics) for statistics in (a, b)]


def factor_of(statistics: FeatureStatistics) -> Factor:
    """A factor of their covariance: of the features themselves while they are kept."""
    centred = statistics.centred
    return _of_covariance(statistics.covariance) if centred is None else _of_rows(centred)


def _of_rows(centred: Tensor) -> Factor:
    if len(centred) < 2:
        raise ValueError(f"statistics of {len(centred)} features; at least 2 are needed")
    rows = centred / (len(centred) - 1) ** 0.5
    return Factor(rows.T, rows.square().sum())


def _of_covariance(covariance: Tensor) -> Factor:
    trace = covariance.diagonal().sum()
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return Factor(lower, trace, lower.diagonal().log().sum())
    values, vectors = torch.linalg.eigh(covariance)
    real = values > len(values) * torch.finfo(values.dtype).eps * values[-1]  # the rest is rounding
    return Factor(vectors[:, real] * values[real].sqrt(), trace)


def _trace_of_root(first: Factor, second: Factor) -> Tensor:
    """The sum of the singular values of ``F_a^T F_b``.

    Eigenvalues of its square take a fifth of the time and mostly suffice. Their product is known
    beforehand, because the factors are triangular; its error is the relative error of the smallest
    eigenvalues, which suffer from rounding first.
    """
    cross = first.matrix.T @ second.matrix
    if first.log_volume is not None and second.log_volume is not None:
        squares = torch.linalg.eigvalsh(cross @ cross.T)
        missed = squares.log().sum() / 2 - first.log_volume - second.log_volume
        roots = squares.sqrt()
        lost = missed.abs() * roots[0] * len(roots) ** 0.5
        if lost < _LOST * roots.sum():  # NaN, of a negative square, is not
            return roots.sum()
    return torch.linalg.svdvals(cross).sum()
