"""Data sets as LightningDataModules: real images, two splits, a deterministic stream."""

from zoo.data.image_data import ImageData
from zoo.data.image_set import ImageSet
from zoo.data.source.cifar10 import Cifar10
from zoo.data.source.digits import Digits
from zoo.data.source.folder import Folder
from zoo.data.source.hub import Hub
from zoo.data.source.parquet import Parquet
from zoo.data.source.web_dataset import WebDataset

__all__ = ["Cifar10", "Digits", "Folder", "Hub", "ImageData", "ImageSet", "Parquet", "WebDataset"]
