"""How well the shipped autoencoder reconstructs digits: what `zoo evaluate` says, of both splits.

python benchmarks/digits_autoencoder.py
"""

from __future__ import annotations

from typing import Any

from _table import write

import zoo
from eval.extractor import Small
from eval.measure import Generation, Setting, reconstruct
from eval.metric import PSNR, SSIM, ReconstructionDistance
from zoo import paths
from zoo.data.source.digits import Digits

SHIPPED = paths.checkpoints() / "digits"


def main() -> None:
    """Reconstructs both splits, from the mean of the latents."""
    module = zoo.load(SHIPPED / "autoencoder.safetensors")
    small = Small(SHIPPED / "small_extractor.safetensors")
    rows = []
    for name in ("train", "held out"):
        data = Digits()
        data.setup()
        if name == "train":
            data.test = data.train
        count = len(data.test)
        metrics = [ReconstructionDistance, PSNR, SSIM]
        setting = Setting(module, data, metrics, [small], Generation(count))
        values = reconstruct(setting).result.values
        row: dict[str, Any] = {"split": name, "images": count}
        for key, stem in (("psnr_db", "psnr"), ("ssim", "ssim"), ("rfid", f"rfid_small_{count}")):
            low, high = values[stem].interval or (None, None)
            row |= {key: values[stem].value, f"{key}_from": low, f"{key}_to": high}
        rows.append(row)
    write(__file__, rows)


if __name__ == "__main__":
    main()
