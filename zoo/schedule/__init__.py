"""Noise schedules: the noise levels over time."""

from zoo.schedule.cosine import Cosine
from zoo.schedule.linear import Linear
from zoo.schedule.noise_schedule import FromBetas, NoiseSchedule
from zoo.schedule.scaled_linear import ScaledLinear
from zoo.schedule.sigmoid import Sigmoid
from zoo.schedule.zero_terminal_snr import ZeroTerminalSNR

__all__ = [
    "Cosine", "FromBetas", "Linear", "NoiseSchedule", "ScaledLinear", "Sigmoid", "ZeroTerminalSNR",
]  # fmt: skip
