"""FID, KID, precision and recall of 2,000 images from ready features, beside torch-fidelity's.

    python benchmarks/metric_speed.py

Features have 2,048 dimensions, as Inception's; the reference has 10,000, whose statistics are at
hand. Ours are with the intervals of ten blocks; torch-fidelity has none. Medians of three runs that
alternate, in seconds of all threads together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from _table import write
from torch import Tensor

from eval.measure.blocks import Blocks
from eval.metric import FrechetDistance, KernelDistance, PrecisionRecall
from eval.metric.metric import Metric
from eval.moments import FeatureStatistics
from eval.source.batch import Images

SIZE, IMAGES, REFERENCE, RUNS = 2048, 2000, 10_000, 3


def features(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(0, -1.5, SIZE)
    mixing = torch.randn(SIZE, SIZE, generator=generator) * scales[:, None] / SIZE**0.5
    generator.manual_seed(seed)
    return (torch.randn(count, SIZE, generator=generator) @ mixing + 0.005 * seed).relu()


def ours(make: Callable[[], Metric], rows: Tensor) -> dict[str, float]:
    blocks = Blocks(make, len(rows))
    for part in rows.split(50):
        pixels = torch.zeros(len(part), 1, 1, 1, dtype=torch.uint8)
        blocks.update({"pool": part}, Images(pixels))
    return {name: estimate.value for name, estimate in blocks.estimates().items()}


def theirs(reference: FeatureStatistics, rows: Tensor, real: Tensor) -> dict[str, Any]:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    moments = {"mu": reference.mean.numpy(), "sigma": reference.covariance.numpy()}
    quiet = {"verbose": False, "cuda": False, "save_cpu_ram": False}
    return {
        "fid": lambda: fid_statistics_to_metric(
            fid_features_to_statistics(rows.double()), moments, verbose=False
        ),
        "kid": lambda: kid_features_to_metric(
            rows, real, kid_subsets=100, kid_subset_size=1000, rng_seed=0, **quiet
        ),
        "precision_recall": lambda: prc_features_to_metric(
            rows, real, prc_neighborhood=3, prc_batch_size=10_000, **quiet
        ),
    }


def compare(name: str, calls: dict[str, Callable[[], dict[str, float]]]) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {who: [] for who in calls}
    values: dict[str, float] = {}
    for _ in range(RUNS):
        for who, call in calls.items():
            started = time.process_time()
            values[who] = next(iter(call().values()))
            seconds[who].append(time.process_time() - started)
    return {
        "metric": name,
        "images": IMAGES,
        "reference": REFERENCE,
        **{f"{who}_cpu_s": median(each) for who, each in seconds.items()},
        **values,
    }


def main() -> None:
    rows, real = features(IMAGES, 1), features(REFERENCE, 2)
    reference = FeatureStatistics(real)
    reference.covariance  # noqa: B018  # summed now
    makes: dict[str, Callable[[], Metric]] = {
        "fid": lambda: FrechetDistance(reference, "x"),
        "kid": lambda: KernelDistance(real, "x"),
        "precision_recall": lambda: PrecisionRecall(real, "x"),
    }
    peers = theirs(reference, rows, real)
    table = [
        compare(name, {"ours": partial(ours, make, rows), "torch-fidelity": peers[name]})
        for name, make in makes.items()
    ]
    whole = dict.fromkeys(table[0], "") | {"metric": "all"}
    for who in ("ours", "torch-fidelity"):
        whole[f"{who}_cpu_s"] = sum(row[f"{who}_cpu_s"] for row in table)
    for row in (*table, whole):
        row["ratio"] = row["ours_cpu_s"] / row["torch-fidelity_cpu_s"]
    write(__file__, [*table, whole])


if __name__ == "__main__":
    main()
