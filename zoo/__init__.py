"""A zoo of diffusion models on PyTorch Lightning; names load on first use, so importing is cheap.

>>> import zoo
>>> zoo.schedule.__name__
'zoo.schedule'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.checkpoint import load as load
    from zoo.draw import Draw as Draw
    from zoo.models.autoencoder import Autoencoder as Autoencoder
    from zoo.models.ddpm import DDPM as DDPM
    from zoo.models.guided_latent_diffusion import GuidedLatentDiffusion as GuidedLatentDiffusion
    from zoo.models.improved_ddpm import ImprovedDDPM as ImprovedDDPM
    from zoo.models.latent_diffusion import LatentDiffusion as LatentDiffusion
    from zoo.models.noisy_classifier import NoisyClassifier as NoisyClassifier
    from zoo.part import Part as Part
    from zoo.part import config_of as config_of
    from zoo.recipe import Recipe as Recipe

_HOME = {
    "DDPM": "zoo.models.ddpm",
    "ImprovedDDPM": "zoo.models.improved_ddpm",
    "LatentDiffusion": "zoo.models.latent_diffusion",
    "GuidedLatentDiffusion": "zoo.models.guided_latent_diffusion",
    "Autoencoder": "zoo.models.autoencoder",
    "NoisyClassifier": "zoo.models.noisy_classifier",
    "Recipe": "zoo.recipe",
    "Part": "zoo.part",
    "config_of": "zoo.part",
    "Draw": "zoo.draw",
    "load": "zoo.checkpoint",
}
_MODULES = (
    "callbacks", "checkpoint", "classifier", "conditioner", "convert", "data", "denoiser",
    "diffusion", "first_stage", "guidance", "models", "paths", "records", "sampler", "schedule",
)  # fmt: skip

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"zoo.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("diffusion-zoo")
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])
