"""The same training on 1, 2 and 4 processes, and with its batches accumulated.

    python benchmarks/processes.py [--steps 50] [--only NAME]

Every model, small, on the digits with dropout, in float32 on a CPU (gloo): batches of 8 on one
process, shared between 2 and between 4, and accumulated from two of 4. For each of them the largest
relative difference of any row of any logged curve from that of one process (losses and their parts,
quartiles, gradient norm, validation), and the largest difference of any weight at the end. Writes
benchmarks/processes.csv.

What is of a batch cannot be accumulated: contrastive losses, strata of times and their losses,
batch statistics, the discriminator's turn. These trainings are not run with accumulation.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from _processes import (
    COMMON,
    LATENT,
    MODELS,
    curves,
    largest_difference,
    state,
    train_on,
    weight_difference,
)
from _table import write

_OF_A_BATCH = ("small_clip", "stratified", "by their loss", "discriminator")
_FIGURES = ("codes_used", "perplexity")  # of a batch, so they differ where it is accumulated


def main() -> None:
    """Trains everything, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        small = [*COMMON, *MODELS["autoencoder"], "data.batch_size=8"]
        if train_on(1, [*small, "trainer.max_steps=5", f"run_dir={work}/first"]) != [0]:
            sys.exit((work / "first" / "printed.0").read_text())
        for name, overrides in MODELS.items():
            if args.only in name:
                latent = [f"autoencoder={work}/first/model.safetensors"] * (name in LATENT)
                rows += compared(name, [*COMMON, *overrides, *latent], args.steps, work / name)
    if not args.only:
        write(__file__, rows)


def compared(name: str, overrides: list[str], steps: int, work: Path) -> list[dict[str, Any]]:
    """The rows of one model."""
    steps_ = [f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps // 2}"]
    runs: dict[str, tuple[int, list[str]]] = {
        "1 process": (1, ["data.batch_size=8"]),
        "2 processes": (2, ["data.batch_size=8"]),
        "4 processes": (4, ["data.batch_size=8"]),
    }
    if not any(word in name for word in _OF_A_BATCH):
        twice = ["data.batch_size=4", "trainer.accumulate_grad_batches=2", *steps_[:1]]
        twice.append(f"trainer.val_check_interval={steps // 2 * 2}")  # in batches
        twice.append("trainer.limit_val_batches=20")
        runs["2 batches accumulated"] = (1, twice)
    rows = []
    for how, (processes, settings) in runs.items():
        run_dir = work / how.replace(" ", "_")
        codes = train_on(processes, [*overrides, *steps_, *settings, f"run_dir={run_dir}"])
        if codes != [0] * processes:
            sys.exit(f"{name}, {how}: {codes}\n" + (run_dir / "printed.0").read_text()[-2000:])
        first = work / "1_process"
        theirs, ours = curves(first), curves(run_dir)
        if "accumulated" in how:
            theirs = {k: v for k, v in theirs.items() if not k.endswith(_FIGURES)}
        apart = {k: largest_difference(v, ours.get(k, {})) for k, v in theirs.items()}
        worst = max(apart, key=apart.__getitem__)
        rows.append(
            {
                "training": name,
                "how": how,
                "steps": steps,
                "loss apart": apart["train/loss"],
                "curves apart": apart[worst],
                "worst curve": worst,
                "validation apart": max(
                    (v for k, v in apart.items() if k.startswith("val")), default=0.0
                ),
                "weights apart": weight_difference(state(first), state(run_dir)),
            }
        )
        print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
