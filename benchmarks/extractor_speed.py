"""Inception's images and CLIP's captions a second, beside torch-fidelity's and open_clip's.

    python benchmarks/extractor_speed.py

Random weights, float32, 32x32 images in batches of 32; captions of six words, each another one, as
a batch of 64. Medians of runs that alternate.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from _inception import random_inception
from _table import write
from torch import Tensor

from eval.extractor import Inception, OpenClip
from zoo.checkpoint import sha256

RUNS = 5


def compare(what: str, count: int, ours: Callable[[], Tensor], theirs: Callable[[], Tensor]) -> Any:
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    found = {"ours": ours(), "theirs": theirs()}  # warms up
    for _ in range(RUNS):
        for name, call in (("ours", ours), ("theirs", theirs)):
            started = time.perf_counter()
            found[name] = call()
            seconds[name].append(time.perf_counter() - started)
    gap = (found["ours"].double() - found["theirs"].double()).norm()
    return {
        "what": what,
        "count": count,
        "ours_per_s": count / median(seconds["ours"]),
        "theirs_per_s": count / median(seconds["theirs"]),
        "times_faster": median(
            b / a for a, b in zip(seconds["ours"], seconds["theirs"], strict=True)
        ),
        "relative_difference": float(gap / found["theirs"].double().norm()),
    }


def inception(folder: Path) -> dict[str, Any]:
    peer = random_inception()
    torch.save(peer.state_dict(), folder / "inception.pth")
    extractor = Inception(folder / "inception.pth", sha256=sha256(folder / "inception.pth"))
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        return compare(
            "Inception: torch-fidelity",
            len(images),
            lambda: extractor(images)["pool"],
            lambda: peer(images)[0],
        )


def clip_text(folder: Path) -> dict[str, Any]:
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = open_clip.create_model("ViT-B-32").eval()
    save_file(network.state_dict(), folder / "clip.safetensors")
    extractor = OpenClip("ViT-B-32", "random", path=folder / "clip.safetensors")
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    captions = [f"a photo of number {i // 8} {i % 8}" for i in range(64)]

    def fresh() -> Tensor:
        extractor.text.clear()  # or nothing would be left to do after the first run
        return extractor.text(captions)

    with torch.no_grad():
        return compare(
            "CLIP ViT-B-32's captions: open_clip",
            len(captions),
            fresh,
            lambda: network.encode_text(tokenizer(captions)),
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as made:
        write(__file__, [inception(Path(made)), clip_text(Path(made))])
