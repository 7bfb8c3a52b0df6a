"""diffusers' folders, read and written."""

from zoo.convert.diffusers.read import from_diffusers, network
from zoo.convert.diffusers.write import to_diffusers

__all__ = ["from_diffusers", "network", "to_diffusers"]
