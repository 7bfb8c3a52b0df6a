"""Writes a table beside the script that made it, with machine and date."""

from __future__ import annotations

import csv
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any


def write(script: str, rows: Sequence[dict[str, Any]]) -> Path:
    """benchmarks/NAME.csv of benchmarks/NAME.py; floats to five digits.

    A row that was read from an earlier table keeps its machine and date.
    """
    import torch

    machine = f"{_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    target = Path(script).with_suffix(".csv")
    with target.open("w", newline="") as file:
        made = {"machine": machine, "date": date.today().isoformat()}
        names = [name for name in rows[0] if name not in made]
        writer = csv.DictWriter(file, [*names, *made])
        writer.writeheader()
        for row in rows:
            shown = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow({**made, **shown})
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
