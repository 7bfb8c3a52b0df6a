"""Weights of improved-diffusion and guided-diffusion."""

from zoo.convert.openai.read import from_openai

__all__ = ["from_openai"]
