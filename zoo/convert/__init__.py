"""Published weights in, ours out."""

from zoo.convert.compvis import from_compvis
from zoo.convert.family import family_of, network
from zoo.convert.openai import from_openai
from zoo.convert.weights import read

__all__ = ["family_of", "from_compvis", "from_openai", "network", "read"]
