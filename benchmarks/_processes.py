"""Trainings on one and on several processes of this machine, forked from a warm one."""

from __future__ import annotations

import csv
import os
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.callbacks.throughput import OF_THE_MACHINE

SMALL_UNET = [
    "model.denoiser.channels=32", "model.denoiser.channel_mult=[1,2]",
    "model.denoiser.attention_at=[2]", "model.denoiser.num_res_blocks=1",
    "++model.denoiser.norm_groups=8", "model.denoiser.num_heads=1", "model.denoiser.dropout=0.2",
]  # fmt: skip
SMALL_AUTOENCODER = ["model.first_stage.channels=8", "++model.first_stage.dropout=0.1"]
_LOSS = (
    "+model.loss={{_target_:zoo.first_stage.autoencoder_loss.{kind}AdversarialLoss,start:3,"
    "perceptual:{{_target_:_processes.Distance}},discriminator:{{"
    "_target_:zoo.first_stage.discriminator.PatchDiscriminator,image_channels:1,channels:8,"
    "num_layers:2}}}}"
)
_AGAINST = ["trainer.gradient_clip_val=null", "++trainer.strategy=ddp_find_unused_parameters_true"]
MODELS: dict[str, list[str]] = {
    "ddpm": ["model=ddpm", *SMALL_UNET],
    "improved_ddpm": ["model=improved_ddpm", "objective=hybrid", *SMALL_UNET],
    "latent_diffusion": ["model=latent_diffusion", *SMALL_UNET],
    "guided_latent_diffusion": [
        "model=guided_latent_diffusion", "conditioner=class_token", *SMALL_UNET,
    ],
    "digits_text": [
        "experiment=digits_text", "model.denoiser.in_channels=4", "model.denoiser.out_channels=4",
        "conditioner.dropout=0.2", "++conditioner.embedding_dropout=0.2",
        *SMALL_UNET,
    ],
    "autoencoder": ["model=autoencoder", *SMALL_AUTOENCODER],
    "vq_autoencoder": ["model=vq_autoencoder", *SMALL_AUTOENCODER],
    "autoencoder against a discriminator": [
        "model=autoencoder", *SMALL_AUTOENCODER, _LOSS.format(kind="KL"), *_AGAINST,
    ],
    "vq_autoencoder against a discriminator": [
        "model=vq_autoencoder", *SMALL_AUTOENCODER, _LOSS.format(kind="VQ"), *_AGAINST,
    ],
    "noisy_classifier": ["model=noisy_classifier", "model/size=tiny", "model.network.dropout=0.2"],
    "small_extractor": ["model=small_extractor"],
    "small_clip": ["model=small_clip", "data.condition=caption"],
    "ddpm with stratified times": ["model=ddpm", "recipe/time_sampler=stratified", *SMALL_UNET],
    "ddpm with times by their loss": [
        "model=ddpm", "recipe/time_sampler=loss_second_moment", "recipe.time_sampler.history=1",
        "schedule=cosine", "schedule.num_timesteps=4", "sampler.num_steps=2", *SMALL_UNET,
    ],
}  # fmt: skip
"""The trainings that are compared, small: overrides of `zoo train`."""

LATENT = ("latent_diffusion", "guided_latent_diffusion", "digits_text")
"""Those that need an autoencoder's file."""

COMMON = [
    "data=digits", "trainer=cpu", "trainer.precision=32-true", "trainer.log_every_n_steps=1",
    "callbacks.sample_grid=null", "callbacks.progress=null", "trainer.limit_val_batches=10",
    "recipe.lr_scheduler.num_steps=5", "+recipe.optimizer.eps=1e-6",
]  # fmt: skip
"""What all have in common. Where a gradient is zero but for rounding (a bias in front of a norm),
Adam divides it by itself and walks at random; a larger epsilon keeps such weights in place."""


class Distance(nn.Module):
    """Stands for the perceptual distance, which needs files: the mean squared error, (B,)."""

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Images (B, C, H, W) of both."""
        return (images - others).square().mean((1, 2, 3))


def train_on(
    processes: int, overrides: Sequence[str], prepare: Callable[[int], object] | None = None
) -> list[int]:
    """Trains with as many forked processes; what they print goes to ``run_dir/printed.RANK``.

    Args:
        processes: how many share each batch.
        overrides: of `zoo train`, with ``run_dir``.
        prepare: called in each process with its rank, before it trains.

    Returns:
        The exit code of each.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sys.stdout.flush()
    sys.stderr.flush()
    children = []
    for rank in range(processes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
            child = os.fork()
        if child == 0:
            os._exit(_child(rank, processes, port, overrides, prepare))
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _child(
    rank: int,
    processes: int,
    port: int,
    overrides: Sequence[str],
    prepare: Callable[[int], object] | None,
) -> int:
    run_dir = next(o.partition("=")[2] for o in overrides if o.startswith("run_dir="))
    Path(run_dir).mkdir(parents=True, exist_ok=True)
    printed = os.open(f"{run_dir}/printed.{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    torch.set_num_threads(1)  # the forked process has no others
    if processes > 1:
        os.environ |= {  # torchrun's
            "TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0",
            "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes),
        }  # fmt: skip
    try:
        from zoo import entry
        from zoo.training.train import train

        if prepare is not None:
            prepare(rank)
        strategy = [] if any("strategy" in o for o in overrides) else ["++trainer.strategy=ddp"]
        several = [f"trainer.devices={processes}", *strategy] if processes > 1 else []
        own = [o for o in overrides if processes > 1 or "strategy" not in o]
        train(entry.compose("train", [*own, *several]))
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
    except BaseException as error:
        traceback.print_exc()
        return getattr(error, "exit_code", 2)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def curves(run_dir: Path) -> dict[str, dict[int, float]]:
    """Every column of a run's metrics.csv but the machine's own: steps to values."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("step", *OF_THE_MACHINE)]
    return {
        name: {int(row["step"]): float(row[name]) for row in rows if row[name]} for name in names
    }


def state(run_dir: Path) -> Any:
    """A run's last state."""
    return torch.load(run_dir / "last.ckpt", weights_only=True)


def largest_difference(a: dict[int, float], b: dict[int, float]) -> float:
    """Of two curves, relative to the larger of 1 and the value; infinite where rows differ."""
    if a.keys() != b.keys():
        return float("inf")
    return max((abs(a[k] - b[k]) / max(1.0, abs(a[k])) for k in a), default=0.0)


def weight_difference(a: Any, b: Any) -> float:
    """The largest absolute difference of two states' weights and buffers."""
    a, b = a["state_dict"], b["state_dict"]
    assert a.keys() == b.keys()
    return max((a[k].double() - b[k].double()).abs().max().item() for k in a if a[k].numel())
