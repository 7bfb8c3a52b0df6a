"""Conditioners: raw conditions in, what a denoiser reads out."""

from zoo.conditioner.class_label import ClassLabel, ClassToken
from zoo.conditioner.conditioner import Conditioner
from zoo.conditioner.unconditional import Unconditional

__all__ = ["ClassLabel", "ClassToken", "Conditioner", "Unconditional"]
