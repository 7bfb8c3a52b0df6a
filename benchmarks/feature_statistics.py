"""Mean and covariance of 2,048 features, batch by batch: time beside clean-fid's, peak memory.

    python benchmarks/feature_statistics.py

clean-fid collects every batch and calls numpy's mean and cov at the end. Times are medians of three
runs that alternate. Memory is what a fresh process grows by at its peak, its batches being made
one after the other.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from _table import write

from eval.moments.feature_statistics import FeatureStatistics

SIZE, ROWS, RUNS = 2048, 50_000, 3


def ours(features: np.ndarray, batch: int) -> np.ndarray:
    statistics = FeatureStatistics()
    for part in torch.from_numpy(features).split(batch):
        statistics.update(part)
    return statistics.covariance.numpy()


def clean_fids(features: np.ndarray, batch: int) -> np.ndarray:
    parts = [features[i : i + batch] for i in range(0, len(features), batch)]
    every = np.concatenate(parts)
    every.mean(axis=0)
    return np.cov(every, rowvar=False)


def timed(call: Callable[[np.ndarray, int], np.ndarray], features: np.ndarray, batch: int) -> Any:
    started = time.perf_counter()
    found = call(features, batch)
    return time.perf_counter() - started, found


def growth(rows: int, batch: int) -> float:
    """MiB that this process grows by while it takes and reads the statistics of so many rows."""
    generator = torch.Generator().manual_seed(0)
    warm = FeatureStatistics(torch.randn(300, 64, generator=generator))
    assert warm.covariance.isfinite().all()
    before = peak()
    statistics = FeatureStatistics()
    for first in range(0, rows, batch):
        count = min(batch, rows - first)
        statistics.update(torch.randn(count, SIZE, generator=generator))
    assert statistics.covariance.isfinite().all()
    return peak() - before


def peak() -> float:
    """This process's largest resident size so far, MiB.

    ``ru_maxrss`` would begin at the size of the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found.group(1)) / 1024


def grown(rows: int, batch: int) -> float:
    """``growth`` of a fresh process."""
    command = [sys.executable, __file__, str(rows), str(batch)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(features: np.ndarray, batch: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"ours": [], "clean-fid": []}
    for _ in range(RUNS):
        taken, found = timed(ours, features, batch)
        seconds["ours"].append(taken)
        taken, theirs = timed(clean_fids, features, batch)
        seconds["clean-fid"].append(taken)
    return {
        "rows": ROWS,
        "batch": batch,
        "ours_s": median(seconds["ours"]),
        "clean-fid_s": median(seconds["clean-fid"]),
        "ours_over_clean-fid": median(
            a / b for a, b in zip(seconds["ours"], seconds["clean-fid"], strict=True)
        ),
        "largest_difference": float(np.abs(found - theirs).max()),
        "growth_mib_at_5000": grown(5000, batch),
        "growth_mib_at_50000": grown(ROWS, batch),
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(growth(*map(int, sys.argv[1:])))
    else:
        made = np.random.RandomState(0).standard_normal((ROWS, SIZE)).astype(np.float32)
        write(__file__, [compare(made, batch) for batch in (64, 256)])
