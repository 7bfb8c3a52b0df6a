"""Callbacks of a training: averages, pictures, curves, the state to resume from."""

from zoo.callbacks.average_snapshots import AverageSnapshots
from zoo.callbacks.ema import EMA, averaged
from zoo.callbacks.finite_guard import FiniteGuard
from zoo.callbacks.loss import Loss
from zoo.callbacks.loss_by_quartile import LossByQuartile
from zoo.callbacks.optimizer import GradientNorm, LearningRate
from zoo.callbacks.progress import Progress
from zoo.callbacks.sample_grid import SampleGrid
from zoo.callbacks.scale_by_std import ScaleByStd, ScaleByTrainSet
from zoo.callbacks.throughput import Throughput
from zoo.callbacks.training_state import TrainingState

__all__ = [
    "EMA", "AverageSnapshots", "FiniteGuard", "GradientNorm", "LearningRate", "Loss",
    "LossByQuartile", "Progress",
    "SampleGrid", "ScaleByStd", "ScaleByTrainSet", "Throughput", "TrainingState", "averaged",
]  # fmt: skip
