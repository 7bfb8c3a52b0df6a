"""Guidance: how conditional predictions are mixed."""

from zoo.guidance.bounded import Bounded
from zoo.guidance.classifier_free import ClassifierFree
from zoo.guidance.guidance import Guidance
from zoo.guidance.unguided import Unguided

__all__ = ["Bounded", "ClassifierFree", "Guidance", "Unguided"]
