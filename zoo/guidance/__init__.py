"""Guidance: how conditional predictions are mixed."""

from zoo.guidance.autoguidance import AutoGuidance
from zoo.guidance.bounded import Bounded
from zoo.guidance.classifier import Classifier
from zoo.guidance.classifier_free import ClassifierFree
from zoo.guidance.guidance import Guidance, networks, num_classes
from zoo.guidance.unguided import Unguided

__all__ = [
    "AutoGuidance", "Bounded", "Classifier", "ClassifierFree", "Guidance", "Unguided", "networks",
    "num_classes",
]  # fmt: skip
