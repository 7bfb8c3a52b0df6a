"""Data sets as LightningDataModules: real images, two splits, a deterministic stream."""

from zoo.data.cifar10 import Cifar10
from zoo.data.digits import Digits
from zoo.data.folder import Folder
from zoo.data.hub import Hub
from zoo.data.image_data import ImageData
from zoo.data.image_set import ImageSet
from zoo.data.parquet import Parquet
from zoo.data.web_dataset import WebDataset

__all__ = [
    "Cifar10",
    "Digits",
    "Folder",
    "Hub",
    "ImageData",
    "ImageSet",
    "Parquet",
    "WebDataset",
]
