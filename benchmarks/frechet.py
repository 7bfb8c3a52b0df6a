"""The Fréchet distance at 2,048 dimensions beside pytorch-fid's and torch-fidelity's: time, value.

    python benchmarks/frechet.py

Statistics are given; only the distance is timed. Features have variances over six orders of
magnitude, about as pool3's have. Medians of three runs that alternate.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from _table import write

from eval.metric.frechet import frechet_distance
from eval.moments.feature_statistics import FeatureStatistics

SIZE = 2048
RUNS = 3


def features(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)
    scales = torch.logspace(0, -3, SIZE, dtype=torch.float64)
    generator.manual_seed(seed)
    rows = torch.randn(count, SIZE, generator=generator, dtype=torch.float64)
    return (rows * scales) @ torch.linalg.qr(basis)[0] + 0.001 * seed


def peers(a: FeatureStatistics, b: FeatureStatistics) -> dict[str, Callable[[], float]]:
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    given = [{"mu": one.mean.numpy(), "sigma": one.covariance.numpy()} for one in (a, b)]
    flat = [array for one in given for array in one.values()]
    return {
        "torch-fidelity": lambda: fid_statistics_to_metric(*given, False)[KEY_METRIC_FID],
        "pytorch-fid": lambda: float(calculate_frechet_distance(*flat)),
    }


def compare(case: str, a: FeatureStatistics, b: FeatureStatistics, runs: int) -> dict[str, Any]:
    calls = {"ours": lambda: frechet_distance(a, b), **peers(a, b)}
    values: dict[str, float] = {}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            started = time.perf_counter()
            values[name] = call()
            seconds[name].append(time.perf_counter() - started)
    row: dict[str, Any] = {"case": case, "runs": runs, "distance": values["ours"]}
    row["ours_s"] = median(seconds["ours"])
    for name in calls:
        if name != "ours":
            row[f"{name}_s"] = median(seconds[name])
            row[f"{name}_times_slower"] = row[f"{name}_s"] / row["ours_s"]
            row[f"{name}_difference"] = abs(values[name] - values["ours"])
    return row


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    many = [FeatureStatistics(features(5000, seed)) for seed in (1, 2)]
    few = [FeatureStatistics(features(500, seed)) for seed in (1, 2)]
    write(
        __file__,
        [
            compare("5,000 images each", *many, runs=RUNS),
            compare("500 images each", *few, runs=1),
            compare("identical, 500 images", few[0], few[0], runs=1),
        ],
    )
