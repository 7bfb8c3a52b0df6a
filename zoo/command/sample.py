"""The task of ``zoo sample``: images from a saved model, as a grid, single files or one array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from zoo.checkpoint.file import load
from zoo.checkpoint.published import checkpoint_file
from zoo.command.parts import exchanged, repeated
from zoo.generation import sampling
from zoo.system.device import accelerator, autocast, torch_device
from zoo.system.picture import image_grid, save_png


def sample(cfg: DictConfig) -> Path:
    """Draws what ``cfg`` (configs/sample.yaml) describes and writes it to ``cfg.out``.

    Raises:
        ValueError: there is no such checkpoint, or sampler, guidance or condition do not suit it.
    """
    if cfg.num_images < 1:
        raise ValueError(f"num_images is positive, got {cfg.num_images}")
    trust = list(cfg.trust)
    module = load(checkpoint_file(cfg.checkpoint), trust)
    if not hasattr(module, "generate"):
        raise ValueError(f"{cfg.checkpoint} holds a {type(module).__name__}, which draws no images")
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    sampler = exchanged(module.sampler, plain.get("sampler"), "sampler", trust)
    guidance = exchanged(module.guidance, plain.get("guidance"), "guidance", trust)
    device = accelerator(cfg.device)
    module.to(torch_device(device))
    size = min(cfg.batch_size, cfg.num_images)
    with (
        autocast(cfg.precision, device),
        sampling(module, cfg.num_images, size, sampler) as on_step,
    ):
        images = module.generate(
            cfg.num_images,
            condition=repeated(plain["condition"], cfg.num_images, module, guidance),
            sampler=sampler,
            guidance=guidance,
            seed=cfg.seed,
            batch_size=size,
            negative=repeated(plain["negative"], cfg.num_images, module, what="negative"),
            on_step=on_step,
        )
    path = write_images(images, Path(cfg.out), cfg.columns)
    print(f"{cfg.num_images} images: {path}")
    return path


def write_images(images: Tensor, out: Path, columns: int | None = None) -> Path:
    """Writes uint8 images (N, C, H, W) as a grid, an ``.npz``, or a folder of PNGs.

    Returns:
        What was written: ``out`` itself.
    """
    if out.suffix == ".png":
        return save_png(image_grid(images, columns), out)
    if out.suffix == ".npz":
        out.parent.mkdir(parents=True, exist_ok=True)
        np.savez(out, images.permute(0, 2, 3, 1).contiguous().numpy())
        return out
    save_png(image_grid(images, columns), out / "grid.png")
    for index, image in enumerate(images):
        save_png(image, out / "images" / f"{index:06}.png")
    return out
