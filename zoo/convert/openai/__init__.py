"""Weights of improved-diffusion and guided-diffusion."""

from zoo.convert.openai.read import from_openai, network

__all__ = ["from_openai", "network"]
