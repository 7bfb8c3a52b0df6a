"""The speed of generation: a model's cost at sampling time."""

from __future__ import annotations

import torch
from torch import Tensor

from eval.metric.metric import Metric, NotEstimable
from eval.source.batch import Images


class ImagesPerSecond(Metric):
    """Images per second of generation.

    Args:
        how: what the seconds include, for the definition.
    """

    stem, title = "images_per_second", "images/s"
    unit = "1/s"
    definition = "Images made per second on the machine named above."
    reads = None
    higher_is_better = True
    has_interval = False  # what varies in it is the machine
    column = "cost"
    seconds: Tensor
    count: Tensor

    def __init__(self, how: str = "generated per second, decoding included") -> None:
        super().__init__()
        self.how = how
        self.add_state("seconds", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def define(self, name: str, num_images: int, num_sets: int = 1) -> str:
        return f"Images {self.how} on the machine named above."

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Adds the time of one batch."""
        self.seconds = self.seconds + images.seconds
        self.count = self.count + len(images.images)

    def compute(self) -> dict[str, float]:
        """The rate, under this metric's name.

        Raises:
            NotEstimable: no time was spent, because the images were stored.
        """
        if not self.seconds:
            raise NotEstimable("the images were there already")
        return {self.name: int(self.count) / float(self.seconds)}
