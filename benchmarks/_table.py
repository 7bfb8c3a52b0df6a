"""Writes a table beside the script that made it, with machine and date."""

from __future__ import annotations

import csv
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any


def write(script: str, rows: Sequence[dict[str, Any]]) -> Path:
    """benchmarks/NAME.csv of benchmarks/NAME.py; floats to five digits."""
    import torch

    machine = f"{_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    target = Path(script).with_suffix(".csv")
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "machine", "date"])
        writer.writeheader()
        for row in rows:
            shown = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow({**shown, "machine": machine, "date": date.today().isoformat()})
            print("  ".join(f"{name} {value}" for name, value in shown.items()))
    print(f"wrote {target}")
    return target


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    return (
        f"{names[0] if names else platform.machine()}{' with AMX' if 'amx_bf16' in flags else ''}"
    )
