"""Data sets as LightningDataModules: real images, two splits, a deterministic stream."""

from zoo.data.cifar10 import Cifar10
from zoo.data.digits import Digits
from zoo.data.hub import Hub
from zoo.data.image_data import ImageData
from zoo.data.image_set import ImageSet
from zoo.data.parquet import Parquet

__all__ = ["Cifar10", "Digits", "Hub", "ImageData", "ImageSet", "Parquet"]
