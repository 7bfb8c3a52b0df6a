"""Guided chains and the classifiers' pools of guided-diffusion, for the tests to compare with.

    ZOO_REFERENCES=/path/with/checkouts python benchmarks/golden_guidance.py

The path holds openai+guided-diffusion. A chain runs in float64 without noise, with ``model`` and
``gradient`` below in place of networks; of each, x after every fifth step is kept, and the last.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from _formula import values
from _golden import Writer, in_float64, time_embedding
from golden_openai import built, run

REFERENCES = Path(os.environ.get("ZOO_REFERENCES", "."))
POOLS = ("adaptive", "spatial", "spatial_v2")
START = 1.5 * values("start", 1, 2, 4, 4)


class Chain(NamedTuple):
    """One of guided-diffusion's chains: its own arguments, and whether algorithm 2 runs."""

    name: str
    noise_schedule: str
    timestep_respacing: str
    ddim: bool = False
    learn_sigma: bool = False
    sigma_small: bool = False


CHAINS = (
    Chain("mean_learned", "linear", "25", learn_sigma=True),
    Chain("mean_small", "linear", "4,6,5", sigma_small=True),
    Chain("mean_large", "cosine", "15"),
    Chain("score_linear", "linear", "ddim25", ddim=True, learn_sigma=True),
    Chain("score_cosine", "cosine", "ddim10", ddim=True),
)


def model(x: Tensor, t: Tensor, learned: bool) -> Tensor:
    """An output for x (B, C, h, w) at steps t (B,) from 0: the noise, and a learned variance."""
    clean = torch.exp(-(((t.double() + 1) / 450) ** 2))[:, None, None, None]
    noise = x - clean * 0.9 * torch.sin(4 * x)  # x0 is clipped at some pixels, not at all
    return torch.cat([noise, torch.cos(3 * x + clean)], dim=1) if learned else noise


def gradient(x: Tensor, t: Tensor) -> Tensor:
    """In place of a classifier's, scale included."""
    return 0.6 * torch.cos(7 * x + (t.double() / 200)[:, None, None, None])


def chain(script_util: Any, diffusion: Any, case: Chain) -> Tensor:
    """x after every fifth step, the last among them, (N, 2, 4, 4)."""
    made = script_util.create_gaussian_diffusion(
        steps=1000,
        noise_schedule=case.noise_schedule,
        timestep_respacing=case.timestep_respacing,
        learn_sigma=case.learn_sigma,
        sigma_small=case.sigma_small,
    )
    step = made.ddim_sample if case.ddim else made.p_sample
    x, seen = START, []
    silence = (diffusion.th, "randn_like", torch.zeros_like)
    with in_float64(silence):
        for index in reversed(range(made.num_timesteps)):
            predict = lambda x, t: model(x, t, case.learn_sigma)  # noqa: E731
            x = step(predict, x, torch.tensor([index]), cond_fn=gradient, model_kwargs={})["sample"]
            seen.append(x)
    assert x.dtype == torch.float64 and x.isfinite().all()
    return fifth(seen)


def fifth(walk: list[Tensor]) -> Tensor:
    """Every fifth of the steps, counted from the last."""
    return torch.cat(walk[::-1][::5][::-1])


def main() -> None:
    """Writes tests/golden/guidance.safetensors."""
    sys.path.insert(0, str(REFERENCES / "openai+guided-diffusion"))
    script_util, diffusion, unet = (
        importlib.import_module(f"guided_diffusion.{name}")
        for name in ("script_util", "gaussian_diffusion", "unet")
    )
    writer = Writer()
    for case in CHAINS:
        writer.tensors[f"chain.{case.name}"] = chain(script_util, diffusion, case)
        print(case.name, [round(x.std().item(), 3) for x in writer.tensors[f"chain.{case.name}"]])
    patches = ((unet, "timestep_embedding", time_embedding),)
    for pool in POOLS:
        config = dict(
            image_size=64, classifier_width=64, classifier_depth=1, classifier_pool=pool,
            classifier_attention_resolutions="16", classifier_resblock_updown=pool == "spatial",
        )  # fmt: skip
        theirs = built("guided_diffusion", config)
        whole = {"arguments": config, "inputs": {"x": [2, 3, 64, 64]}}
        writer.add(pool, whole, theirs, run, patches, 8)
    writer.write("guidance")


if __name__ == "__main__":
    main()
