"""CIFAR-10: 60,000 photographs of ten classes, 32x32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo import paths
from zoo.data.encoded_data import EncodedData
from zoo.data.rows import Rows
from zoo.data.source.hub import load_rows
from zoo.data.source.parquet import columns, read_parquet

NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


class Cifar10(EncodedData):
    """CIFAR-10 (Krizhevsky 2009), 50,000 / 10,000, mirrored at random in training.

    It comes from ``folder`` where that is set, else from ``$ZOO_DATA/cifar10``, both holding
    train.parquet and test.parquet (columns image or img, and label), else from the hub.

    Args:
        folder: where the two parquet files are.
        hub: the data set's name on the Hugging Face hub; None never asks the network.
        options: see ``EncodedData`` and ``ImageData``.
    """

    def __init__(
        self,
        name: str = "cifar10",
        image_size: int = 32,
        channels: int = 3,
        num_classes: int = 10,
        folder: str | None = None,
        hub: str | None = "uoft-cs/cifar10",
        flip: bool = True,
        caption_of_class: str = "a photo of a {}",
        **options: Any,
    ) -> None:
        super().__init__(
            name,
            image_size,
            channels,
            num_classes,
            class_names=NAMES,
            caption_of_class=caption_of_class,
            flip=flip,
            **options,
        )
        self.folder = folder
        self.hub = hub

    def prepare_data(self) -> None:
        """Downloads once, before other processes read, where no parquet files are found."""
        if self._local() is None:
            self._from_hub("train")

    def rows(self) -> tuple[Rows, Rows | None]:
        """Both splits' rows, still encoded."""
        folder = self._local()
        if folder is None:
            return self._from_hub("train"), self._from_hub("test")
        return _from_parquet(folder / "train.parquet"), _from_parquet(folder / "test.parquet")

    def _local(self) -> Path | None:
        root = paths.data_root()
        if self.folder is not None:
            folder = Path(self.folder).expanduser()
        elif root is not None:
            folder = root / "cifar10"
        else:
            return None
        missing = [name for name in ("train", "test") if not (folder / f"{name}.parquet").is_file()]
        if not missing:
            return folder
        if self.folder is not None or self.hub is None:
            raise ValueError(f"CIFAR-10: {folder / missing[0]}.parquet is missing; {_remedy(root)}")
        return None

    def _from_hub(self, split: str) -> Rows:
        root = paths.data_root()
        if self.hub is None:
            raise ValueError(
                f"CIFAR-10: data.folder, ZOO_DATA and data.hub are empty; {_remedy(root)}"
            )
        try:
            rows, _ = load_rows({"path": self.hub}, split, "img", "label", None)
        except ValueError as error:
            raise ValueError(f"CIFAR-10: {error}; {_remedy(root)}") from error
        return rows


def _from_parquet(path: Path) -> Rows:
    image = "img" if "img" in columns(path) else "image"  # the hub's own files say img
    return read_parquet(path, image, "label", None)


def _remedy(root: Path | None) -> str:
    looked = "ZOO_DATA is not set" if root is None else f"looked in ZOO_DATA={root}/cifar10"
    return (
        f"{looked}; put train.parquet and test.parquet into a folder cifar10 and set ZOO_DATA to "
        f"the folder above it, or set data.folder"
    )
