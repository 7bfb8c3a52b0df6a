"""The distance of images to the training set: the check that a model did not memorise it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from eval.metric.metric import Metric, parts_of
from eval.source.batch import Images, check_images
from zoo.data.image_set import ImageSet

PERCENTILES = (1, 5, 50, 95)
_CHUNK = 2048
PAIRS = 8


class Nearest(NamedTuple):
    """Each image's nearest training image.

    Attributes:
        distances: (N,) float64, root mean square difference in steps of 8-bit values.
        indices: (N,) int64, of the training image.
        mirrored: (N,) bool, whether its mirror image was the nearest.
    """

    distances: Tensor
    indices: Tensor
    mirrored: Tensor


def nearest(images: Tensor, training: Tensor | ImageSet, flip: bool = False) -> Nearest:
    """Each image's nearest training image, in pixels.

    The distance is the root of the mean squared difference over all pixels and channels, in steps
    of 8-bit values: 0 is a copy, 255 black against white.

    Args:
        images: (N, C, H, W) uint8.
        training: (M, C, H, W) uint8, or a split of a data set, which is read piece by piece.
        flip: whether mirrored training images count too, as where training mirrors them.

    Raises:
        ValueError: the images' shapes differ, or they are not uint8.

    >>> black, white = torch.zeros(1, 1, 2, 2).byte(), torch.full((1, 1, 2, 2), 255).byte()
    >>> nearest(black, torch.cat([white, white // 5]))
    Nearest(distances=tensor([51.], dtype=torch.float64), indices=tensor([1]),
            mirrored=tensor([False]))
    """
    check_images(images)
    if isinstance(training, Tensor):
        check_images(training, "training images")
    if images.shape[1:] != torch.Size(training.shape[-3:]):
        raise ValueError(
            f"distances between images of one shape: got {tuple(images.shape[1:])} and "
            f"{tuple(training.shape[-3:])}"
        )
    best = torch.full((len(images),), torch.inf, dtype=torch.float64)
    result = Nearest(best, torch.zeros(len(images), dtype=torch.int64), best.isnan())
    for start, chunk in _chunks(training):
        for mirrored in (False, True) if flip else (False,):
            candidates = (chunk.flip(-1) if mirrored else chunk).flatten(1).double()
            squares = candidates.square().sum(1)
            for first in range(0, len(images), _CHUNK):
                rows = images[first : first + _CHUNK].flatten(1).double()
                # integers below 2^53, so that the difference of large sums is exact: a copy is 0
                distances = torch.addmm(squares[None, :], rows, candidates.T, alpha=-2)
                least, index = distances.min(dim=1)
                least += rows.square().sum(1)
                part = slice(first, first + len(rows))
                closer = least < result.distances[part]
                result.distances[part][closer] = least[closer]
                result.indices[part][closer] = start + index[closer]
                result.mirrored[part][closer] = mirrored
    return result._replace(distances=(result.distances / images[0].numel()).sqrt())


def pairs(
    images: Tensor, training: Tensor | ImageSet, result: Nearest, count: int = PAIRS
) -> Tensor:
    """The closest pairs of image and training image, (K, 2, C, H, W) uint8, closest first."""
    order = result.distances.argsort(stable=True)[:count]
    neighbours = _gather(training, result.indices[order])
    mirrored = result.mirrored[order][:, None, None, None]
    neighbours = torch.where(mirrored, neighbours.flip(-1), neighbours)
    return torch.stack([images[order], neighbours], dim=1)


def percentiles(distances: Tensor, prefix: str = "") -> dict[str, float]:
    """The distances' percentiles by name, "p50" the median.

    >>> percentiles(torch.arange(101.0))["p95"]
    95.0
    """
    quantiles = torch.tensor([p / 100 for p in PERCENTILES], dtype=distances.dtype)
    values = torch.quantile(distances, quantiles)
    return {f"{prefix}p{p}": float(value) for p, value in zip(PERCENTILES, values, strict=True)}


def _chunks(training: Tensor | ImageSet) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(training), _CHUNK):
        indices = torch.arange(start, min(start + _CHUNK, len(training)))
        yield start, _gather(training, indices)


def _gather(training: Tensor | ImageSet, indices: Tensor) -> Tensor:
    return training[indices] if isinstance(training, Tensor) else training.gather(indices)


class NearestImage(Metric):
    """The median distance to the nearest training image, and the closest pairs.

    Args:
        reference: the training images.
        flip: whether mirrored training images count too.
        num_images: a neighbour is searched for the first ``num_images`` images.
    """

    stem = "nearest_training_image"
    definition = (
        "Distance of a generated image to the nearest training image: the root mean square "
        "difference of its pixels, in steps of 8-bit values (median over images)."
    )
    against = "pixels"
    reads = None
    higher_is_better = None
    optional = True
    has_interval = False
    column = "section"
    images: list[Tensor] | Tensor

    def __init__(self, reference: ImageSet, flip: bool = False, num_images: int = 1000) -> None:
        super().__init__()
        self.reference, self.flip, self.num_images = reference, flip, num_images
        self.add_state("images", [], dist_reduce_fx="cat")
        self._nearest: Nearest | None = None

    def used(self, num_images: int) -> int:
        return min(num_images, self.num_images)

    def update(self, features: dict[str, Tensor], images: Images) -> None:
        """Keeps the images of one batch, up to ``num_images`` in all.

        Raises:
            ValueError: they are not uint8 (B, C, H, W).
        """
        check_images(images.images)
        parts = parts_of(self.images)
        left = self.num_images - sum(map(len, parts))
        if left > 0:
            self.images = [*parts, images.images[:left].clone()]

    def compute(self) -> dict[str, float]:
        """The median, under this metric's name."""
        return {self.name: percentiles(self._neighbours().distances)["p50"]}

    def detail(self, name: str) -> dict[str, float]:
        """The distances' percentiles, and the least of them."""
        distances = self._neighbours().distances
        return {**percentiles(distances), "least": float(distances.min())}

    def beside(self, held_out: dict[str, float]) -> dict[str, float]:
        """The held-out images' percentiles, and how many images are closer than any of them."""
        closer = (self._neighbours().distances < held_out["least"]).sum()
        return {
            **{f"test_p{p}": held_out[f"p{p}"] for p in PERCENTILES},
            "closer_than_any_test": float(closer),
        }

    def closest(self) -> Tensor:
        """The closest pairs of image and training image, (K, 2, C, H, W) uint8, closest first."""
        return pairs(self._first_images(), self.reference, self._neighbours())

    def _first_images(self) -> Tensor:
        parts = parts_of(self.images)
        if not parts:
            raise ValueError(f"{self.name}: no image has been seen")
        return torch.cat(parts)[: self.num_images]

    def _neighbours(self) -> Nearest:
        images = self._first_images()
        if self._nearest is None or len(self._nearest.distances) != len(images):
            self._nearest = nearest(images, self.reference, self.flip)
        return self._nearest

    def reset(self) -> None:
        super().reset()
        self._nearest = None
