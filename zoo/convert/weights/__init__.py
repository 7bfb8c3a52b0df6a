"""Tensors out of any weights file, with nothing executed."""

from zoo.convert.weights.read import read

__all__ = ["read"]
