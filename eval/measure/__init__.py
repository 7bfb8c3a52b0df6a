"""Evaluations: images, in one pass through extractors and metrics, into one result."""

from eval.measure.evaluation import Evaluation, evaluate
from eval.measure.reconstruction import reconstruct
from eval.measure.setting import Generation, Setting

__all__ = ["Evaluation", "Generation", "Setting", "evaluate", "reconstruct"]
