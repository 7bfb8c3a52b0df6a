"""Tensors out of any weights file, with nothing executed; averages before the last ones."""

from zoo.convert.weights.choice import choose
from zoo.convert.weights.read import read
from zoo.convert.weights.state import Weights

__all__ = ["Weights", "choose", "read"]
