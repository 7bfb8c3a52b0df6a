"""Published weights in, ours out."""

from zoo.convert.compvis import from_compvis
from zoo.convert.diffusers import from_diffusers
from zoo.convert.diffusers.write import to_diffusers
from zoo.convert.family import family_of, network
from zoo.convert.openai import from_openai
from zoo.convert.weights import read

__all__ = [
    "family_of",
    "from_compvis",
    "from_diffusers",
    "from_openai",
    "network",
    "read",
    "to_diffusers",
]
