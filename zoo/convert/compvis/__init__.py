"""Latent diffusion's and Stable Diffusion 1.x's weights, and those of CompVis' DDPM port."""

from zoo.convert.compvis.read import denoiser, from_compvis, network

__all__ = ["denoiser", "from_compvis", "network"]
