"""What the paper's latent models of 256 x 256 images need on 8 and 256 GPUs, on paper.

    python benchmarks/scale.py

Parameters, saved activations and floating-point operations are counted, not estimated: the
network of each experiment runs forwards and backwards on tensors without numbers, in bf16 autocast.
Times are those counts over the rates below, so they are bounds: a step takes at least as long. No
GPU is used. Writes benchmarks/scale.csv, which docs/scale.md quotes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from _table import write
from omegaconf import OmegaConf
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from zoo import entry
from zoo.checkpoint.build import build
from zoo.records import Condition

# of an H100 SXM: https://www.nvidia.com/en-us/data-center/h100/, and of a node with eight of them
FLOPS = 989e12  # a second, dense bf16
UTILISATION = 0.35  # of it, as U-Nets reach at best with compile and channels_last
NVLINK = 450e9  # bytes a second and direction, between the GPUs of a node
NETWORK = 50e9  # bytes a second and GPU, between nodes: 400 Gbit/s each
IMAGE = 110_000  # bytes of ImageNet's mean JPEG: 138 GB of 1,281,167 images

EXPERIMENTS = {  # channels, side of a latent, global batch
    "ldm4_imagenet": (3, 64, 1200),
    "ldm8_churches": (4, 32, 96),
}
STEPS = {"ldm4_imagenet": 178_000, "ldm8_churches": 500_000}  # of the papers' batches
DEVICES = (8, 256)
ACROSS = 2048  # images of a batch on 256 devices, where the paper's would leave a GPU without any


@contextmanager
def saved_bytes(parameters: set[int]) -> Iterator[list[int]]:
    """Within, notes the bytes of each tensor that the backward pass will read, once."""
    sizes: list[int] = []
    known: set[int] = set(parameters)

    def note(tensor: torch.Tensor) -> torch.Tensor:
        key = tensor.untyped_storage()._cdata
        if key not in known:
            known.add(key)
            kept.append(tensor)  # or its address would be used again
            sizes.append(tensor.untyped_storage().nbytes())
        return tensor

    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield sizes


def counted(experiment: str) -> dict[str, float]:
    """Parameters, and of one image: bytes of activations, operations of a training step."""
    channels, side, _ = EXPERIMENTS[experiment]
    cfg = entry.compose("train", [f"experiment={experiment}"])
    node: Any = OmegaConf.to_container(cfg.model.denoiser, resolve=True)
    sizes, operations = [], 0
    with FakeTensorMode():
        network = build(node)
        parameters = {p.untyped_storage()._cdata for p in network.parameters()}
        for images in (2, 4):
            x, t = torch.zeros(images, channels, side, side), torch.zeros(images)
            width = node.get("context_dim")
            condition = Condition(tokens=None if width is None else torch.zeros(images, 1, width))
            counter = FlopCounterMode(display=False)
            with counter, torch.autocast("cpu", torch.bfloat16), saved_bytes(parameters) as saved:
                network(x, t, condition).float().square().mean().backward()
            sizes.append(sum(saved))
            operations = counter.get_total_flops()
        return {
            "parameters": sum(p.numel() for p in network.parameters()),
            "activation_bytes": (sizes[1] - sizes[0]) / 2,
            "flops": operations / 4,
        }


def row(experiment: str, devices: int, count: dict[str, float]) -> dict[str, Any]:
    """One line of the table: a network on so many devices."""
    channels, side, batch = EXPERIMENTS[experiment]
    batch = batch if devices < 256 else ACROSS
    share, size = batch / devices, count["parameters"]
    nodes = devices // 8
    weights = gradients = buckets = averages = 4 * size
    moments = 8 * size
    copies = 2 * size  # autocast's, in bf16
    activations = share * count["activation_bytes"]
    total = weights + gradients + buckets + moments + averages + copies + activations
    sent = 2 * (devices - 1) / devices * 4 * size
    compute = share * count["flops"] / (FLOPS * UTILISATION)
    reduce = sent / (NVLINK if nodes == 1 else NETWORK)
    rate = batch / max(compute, reduce)
    latent = 2 * channels * side * side * 4  # mean and log variance in float32
    return {
        "experiment": experiment,
        "devices": devices,
        "parameters": int(size),
        "batch": batch,
        "batch_per_device": share,
        "weights_gb": weights / 1e9,
        "gradients_and_buckets_gb": (gradients + buckets) / 1e9,
        "moments_gb": moments / 1e9,
        "averages_gb": averages / 1e9,
        "bf16_copies_gb": copies / 1e9,
        "activations_mb_per_image": count["activation_bytes"] / 1e6,
        "activations_gb": activations / 1e9,
        "total_gb": total / 1e9,
        "tflop_per_image": count["flops"] / 1e12,
        "sent_gb_per_step": sent / 1e9,
        "compute_ms": 1e3 * compute,
        "all_reduce_ms": 1e3 * reduce,
        "images_per_second": rate,
        "jpeg_gb_per_second": rate * IMAGE / 1e9,
        "latent_gb_per_second": rate * latent / 1e9,
        "hours": EXPERIMENTS[experiment][2] * STEPS[experiment] / rate / 3600,
        "state_gb": (weights + moments + averages) / 1e9,
    }


def main() -> None:
    counts = {experiment: counted(experiment) for experiment in EXPERIMENTS}
    write(__file__, [row(name, devices, counts[name]) for name in counts for devices in DEVICES])


if __name__ == "__main__":
    main()
