"""Conditioners: raw conditions in, what a denoiser reads out."""

from zoo.conditioner.bert_text import BERTText
from zoo.conditioner.class_label import ClassLabel, ClassToken
from zoo.conditioner.clip_text import CLIPText
from zoo.conditioner.conditioner import Conditioner, is_conditional
from zoo.conditioner.low_resolution import LowResolution
from zoo.conditioner.text import TextConditioner
from zoo.conditioner.unconditional import Unconditional

__all__ = [
    "BERTText", "CLIPText", "ClassLabel", "ClassToken", "Conditioner", "LowResolution",
    "TextConditioner", "Unconditional", "is_conditional",
]  # fmt: skip
