"""Evaluations: images, in one pass through extractors and metrics, into one result."""

from eval.measure.cache import Cache
from eval.measure.evaluation import Evaluation, evaluate
from eval.measure.reconstruction import reconstruct
from eval.measure.reference import Reference, measure_reference
from eval.measure.setting import Generation, Setting

__all__ = [
    "Cache",
    "Evaluation",
    "Generation",
    "Reference",
    "Setting",
    "evaluate",
    "measure_reference",
    "reconstruct",
]
