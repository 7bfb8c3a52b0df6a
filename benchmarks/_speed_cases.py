"""The cases of benchmarks/speed.py: what is timed, ours and the peer's, in a process of its own.

    python benchmarks/_speed_cases.py CASE SIDE THREADS

reads lines, and answers each with the seconds of one run and the CPU seconds that it took.
"""

from __future__ import annotations

import atexit
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Run = Callable[[], float | None]
"""One run; its own idea of its duration, or None for that of the call."""


class Case(NamedTuple):
    """One line of the table.

    Attributes:
        what: is timed.
        unit: of the seconds: they are those of one.
        peer: whose time the ratio is of.
        ours: builds a run of this zoo.
        theirs: builds the peer's.
    """

    what: str
    unit: str
    peer: str
    ours: Callable[[], Run]
    theirs: Callable[[], Run]


def _folder() -> Path:
    """A folder that goes with the process."""
    path = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


# The network of DDPM on CIFAR-10, 35.7 million parameters, batches of 8


def _zoos() -> Any:
    from zoo.denoiser import UNet

    return UNet(
        3, 3, dropout=0.1, norm_eps=1e-6, asymmetric_padding=True, sine_first=True,
        frequency_shift=1,
    )  # fmt: skip


def _diffusers() -> Any:
    from diffusers import UNet2DModel

    down, up = ["DownBlock2D"] * 4, ["UpBlock2D"] * 4
    down[1], up[2] = "AttnDownBlock2D", "AttnUpBlock2D"
    return UNet2DModel(
        32, 3, 3, block_out_channels=(128, 256, 256, 256), down_block_types=down,
        up_block_types=up, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, dropout=0.1,
        norm_eps=1e-6, attention_head_dim=None,
    )  # fmt: skip


def _batch() -> tuple[Any, Any, Any]:
    import torch

    return torch.randn(8, 3, 32, 32), torch.arange(8) * 100, torch.randn(8, 3, 32, 32)


def our_step() -> Run:
    import torch
    import torch.nn.functional as F

    from zoo.callbacks import EMA
    from zoo.performance.allocator import keep_freed_memory

    keep_freed_memory()  # as every verb does
    network, (x, t, noise) = _zoos().train(), _batch()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-4, fused=True)
    parameters, average = list(network.parameters()), EMA()
    average.start(network)

    def run() -> None:
        F.mse_loss(network(x, t), noise).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update(network)

    return run


def their_step() -> Run:
    import torch
    import torch.nn.functional as F
    from diffusers.training_utils import EMAModel

    network, (x, t, noise) = _diffusers().train(), _batch()
    parameters = list(network.parameters())
    optimizer, average = torch.optim.AdamW(parameters, 2e-4), EMAModel(parameters)

    def run() -> None:
        F.mse_loss(network(x, t).sample, noise).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(parameters)

    return run


def our_evaluation() -> Run:
    import torch

    from zoo.performance.allocator import keep_freed_memory
    from zoo.performance.layout import arrange

    keep_freed_memory()
    network, (x, t, _) = _zoos().eval(), _batch()
    arrange(network, "auto", torch.device("cpu"))
    return torch.inference_mode()(lambda: _nothing(network(x, t)))


def their_evaluation() -> Run:
    import torch

    network, (x, t, _) = _diffusers().eval(), _batch()
    return torch.inference_mode()(lambda: _nothing(network(x, t)))


def _nothing(_: object) -> None:
    return None


# Loops, per network evaluation on top of the bare network


def _loop(stochastic: bool, ours: bool) -> Run:
    import sampler_overhead
    import torch
    from diffusers import DDIMScheduler, DDPMScheduler

    from zoo.sampler import DDIM, Ancestral

    if ours:
        loop, _ = sampler_overhead.ours(Ancestral(50) if stochastic else DDIM(50))
    else:
        loop = sampler_overhead.theirs(DDPMScheduler() if stochastic else DDIMScheduler(), 50)
    bare = sampler_overhead.bare(50)

    @torch.inference_mode()
    def run() -> float:
        pairs = [(sampler_overhead.seconds(loop), sampler_overhead.seconds(bare)) for _ in range(9)]
        return sorted(a - b for a, b in pairs)[4] / 50

    return run


# Data: CIFAR-10's size, shuffled and flipped

_IMAGES, _BATCH = 50_000, 128


def our_stream() -> Run:
    import torch

    from zoo.data.image_set import ImageSet
    from zoo.data.stream import TrainStream

    images = torch.randint(0, 256, (_IMAGES, 3, 32, 32), dtype=torch.uint8)
    stream = iter(TrainStream(ImageSet(images), "none", _BATCH, seed=0, flip=True))

    def run() -> float:
        began = time.perf_counter()
        for _ in range(_IMAGES // _BATCH):
            next(stream)
        return (time.perf_counter() - began) / (_IMAGES // _BATCH)

    return run


def their_stream() -> Run:
    import numpy as np
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    change = transforms.Compose([
        transforms.RandomHorizontalFlip(), transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.5] * 3),
    ])  # fmt: skip
    pixels = np.random.RandomState(0).randint(0, 256, (_IMAGES, 32, 32, 3), dtype=np.uint8)

    class Images(Dataset):  # as torchvision's CIFAR10
        def __len__(self) -> int:
            return _IMAGES

        def __getitem__(self, index: int) -> Any:
            return change(Image.fromarray(pixels[index]))

    loader, count = DataLoader(Images(), _BATCH, shuffle=True), 40

    def run() -> float:
        batches, began = iter(loader), time.perf_counter()
        for _ in range(count):
            next(batches)
        return (time.perf_counter() - began) / count

    return run


# `zoo train` around its own step


def our_training() -> Run:
    from zoo import checkpoint, entry
    from zoo.performance.allocator import keep_freed_memory
    from zoo.training.train import train

    keep_freed_memory()
    folder, steps = _folder(), 150

    def run() -> float:
        path = train(entry.compose("train", [*_DIGITS, f"trainer.max_steps={steps}",
                                             f"run_dir={folder}/run"]))  # fmt: skip
        return float(checkpoint.provenance(path)["training_seconds"]) / steps

    return run


def bare_training() -> Run:
    import torch

    from zoo import entry
    from zoo.performance.allocator import keep_freed_memory
    from zoo.training import parts

    keep_freed_memory()
    cfg = entry.compose("train", _DIGITS)
    data = parts.data_module(cfg)
    module = parts.module(cfg, data).train()
    optimizer = module.configure_optimizers()["optimizer"]
    module.recipe.ema.start(module)
    parameters = [p for p in module.parameters() if p.requires_grad]
    stream, steps = iter(data.train_dataloader()), 150

    def run() -> float:
        began = time.perf_counter()
        for step in range(steps):
            module.training_step(next(stream), step)["loss"].backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            module.recipe.ema.update(module)
        return (time.perf_counter() - began) / steps

    return run


_DIGITS = [
    "data=digits", "model=ddpm", "model/size=tiny", "data.batch_size=8", "trainer=cpu",
    "trainer.precision=32-true", "trainer.limit_val_batches=0", "callbacks.sample_grid=null",
]  # fmt: skip


# Start-up: a new process each time


def our_picture() -> Run:
    out = _folder()
    return _command(
        "-m", "zoo.sample", "checkpoint=digits/ddpm", "num_images=1", "sampler=ddim",
        "sampler.num_steps=10", "precision=32-true", f"run_dir={out}",
    )  # fmt: skip


def their_picture() -> Run:
    import zoo
    from zoo.convert import to_diffusers

    folder = _folder()
    to_diffusers(zoo.load("digits/ddpm"), folder)
    return _command("-c", _PIPELINE, str(folder), str(folder / "picture.png"))


_PIPELINE = """
import sys
import torch
from diffusers import DDIMScheduler, UNet2DModel
from torchvision.utils import save_image
network = UNet2DModel.from_pretrained(sys.argv[1], subfolder="unet").eval()
scheduler = DDIMScheduler()
scheduler.set_timesteps(10)
sample, label = torch.randn(1, 1, 16, 16), torch.tensor([3])
with torch.inference_mode():
    for t in scheduler.timesteps:
        sample = scheduler.step(network(sample, t, label).sample, t, sample).prev_sample
save_image(sample / 2 + 0.5, sys.argv[2])
"""


def our_help() -> Run:
    return _command("-m", "zoo.cli", "--help")


def their_help() -> Run:
    return _command("-m", "torch_fidelity.fidelity", "--help")


def _command(*arguments: str) -> Run:
    def run() -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    return run


# Evaluation: FID and KID of PNGs, by Inception with random weights


_COUNT, _KID = 64, {"subsets": 100, "subset_size": 32}


def _folders() -> tuple[Path, Path, Path]:
    import torch
    from _inception import random_inception, write_pngs

    folder = _folder()
    torch.save(random_inception().state_dict(), folder / "inception.pth")
    generated = write_pngs(folder / "generated", _COUNT, seed=2, spread=60)
    return generated, write_pngs(folder / "real", _COUNT, seed=3, spread=40), folder


def our_measurement() -> Run:
    from functools import partial

    from eval.extractor import Inception
    from eval.measure import Setting, evaluate
    from eval.metric import FrechetDistance, KernelDistance
    from eval.source.reference_set import reference_set
    from eval.source.stored import open_images
    from zoo.checkpoint import sha256
    from zoo.performance.allocator import keep_freed_memory

    keep_freed_memory()
    generated, real, folder = _folders()
    weights = folder / "inception.pth"

    def run() -> None:
        evaluate(
            Setting(
                open_images(generated),
                reference_set(str(real)),
                [FrechetDistance, partial(KernelDistance, **_KID)],
                [Inception(weights, sha256=sha256(weights))],
                fid_counts=[_COUNT],
            )
        )

    return run


def their_measurement() -> Run:
    from torch_fidelity import calculate_metrics

    generated, real, folder = _folders()

    def run() -> None:
        calculate_metrics(
            input1=str(generated), input2=str(real), feature_extractor="inception-v3-compat",
            feature_extractor_weights_path=str(folder / "inception.pth"), cuda=False, cache=False,
            verbose=False, fid=True, kid=True, kid_subsets=_KID["subsets"],
            kid_subset_size=_KID["subset_size"],
        )  # fmt: skip

    return run


CASES = {
    "step": Case("training step", "step of 8 images of 32 x 32", "diffusers", our_step, their_step),
    "evaluation": Case(
        "network evaluation", "batch of 8 images of 32 x 32", "diffusers",
        our_evaluation, their_evaluation,
    ),
    "ddim": Case(
        "DDIM beside its network", "step", "diffusers",
        lambda: _loop(False, True), lambda: _loop(False, False),
    ),
    "ancestral": Case(
        "ancestral sampling beside its network", "step", "diffusers",
        lambda: _loop(True, True), lambda: _loop(True, False),
    ),
    "data": Case("data stream", "batch of 128 images", "torchvision", our_stream, their_stream),
    "train": Case(
        "`zoo train`", "step of 8 digits", "the bare step", our_training, bare_training
    ),
    "help": Case("`--help`", "process", "torch-fidelity", our_help, their_help),
    "picture": Case("first picture", "process", "diffusers", our_picture, their_picture),
    "measure": Case(
        "FID and KID of two folders", f"{2 * _COUNT} images", "torch-fidelity",
        our_measurement, their_measurement,
    ),
}  # fmt: skip


def _cpu_seconds() -> float:
    usages = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main(name: str, side: str, threads: str) -> None:
    """Answers each line of stdin with one run."""
    os.environ["OMP_NUM_THREADS"] = threads
    os.environ["MKL_NUM_THREADS"] = threads
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a run prints is no answer
    case = CASES[name]
    run = (case.ours if side == "ours" else case.theirs)()
    for _ in sys.stdin:
        cpu, began = _cpu_seconds(), time.perf_counter()
        own = run()
        seconds = time.perf_counter() - began
        print(own or seconds, _cpu_seconds() - cpu, file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
