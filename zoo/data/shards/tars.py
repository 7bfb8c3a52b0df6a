"""Tars of samples in the layout of WebDataset, read in ranges of bytes."""

from __future__ import annotations

from functools import partial

import numpy as np

from zoo.data.shards.column import Column, image_suffixes
from zoo.data.shards.index import Scan
from zoo.data.shards.source import Read, Sample, Shards, runs
from zoo.data.shards.tar_scan import scan_tar

BLOCK = 256
"""Samples that stay together when shards are shuffled: they are read as one piece."""
_GAP = 1 << 16  # bytes that are rather read than skipped
_LIMIT = 1 << 23  # bytes of one piece


class Tars(Shards):
    """Tar shards; see ``Shards``. The image column is a suffix, or several: jpg;png."""

    what = "tar shard"

    def scan(self) -> Scan:
        label = None if self.label is None else Column.of(self.label)
        self._caption = None if self.caption is None else Column.of(self.caption)
        suffixes = image_suffixes(self.image)
        return partial(scan_tar, image=suffixes, label=label, caption=self._caption)

    def check(self) -> None:
        """Raises ValueError where no sample has such an image."""
        suffixes: set[str] = set()
        for shard in range(len(self.files)):
            whole = self.whole(shard)
            if whole.any():
                return
            suffixes |= set(self.index(shard).facts["suffixes"])
        if not suffixes:
            raise ValueError(f"{self.files[0].path}: there are no images in it, nor in any other")
        raise ValueError(
            f"{self.files[0].path} has no column {self.image!r}; it has "
            f"{', '.join(sorted(suffixes))}"
        )

    def edges(self, shard: int) -> np.ndarray:
        count = int(self.counts[shard])
        return np.append(np.arange(0, count, BLOCK), count)

    def whole(self, shard: int) -> np.ndarray:
        present: np.ndarray = self.index(shard).arrays["image"][:, 0] >= 0
        return present

    def where(self, shard: int, ordinal: int) -> str:
        names = self.index(shard).arrays["names"].tobytes().split(b"\0")
        return f"{self.files[shard].path}, {names[ordinal].decode(errors='replace')}"

    def reads(self, shard: int, ordinals: np.ndarray, images: bool = True) -> list[Read]:
        arrays = self.index(shard).arrays
        image, caption = arrays["image"][ordinals], arrays["caption"][ordinals]
        texts = None if self._caption is None else caption
        if not images:
            image, caption = caption, caption
        starts, stops = image[:, 0], image[:, 1]
        if self._caption is not None:  # beside its image as a rule, else read apart
            low, high = np.minimum(starts, caption[:, 0]), np.maximum(stops, caption[:, 1])
            near = (
                high - low <= (image[:, 1] - image[:, 0]) + (caption[:, 1] - caption[:, 0]) + _GAP
            )
            starts, stops = np.where(near, low, starts), np.where(near, high, stops)
        order = np.argsort(starts, kind="stable")
        pieces = []
        for run in runs(starts[order], np.maximum.accumulate(stops[order]), _GAP, _LIMIT):
            rows = np.sort(order[run])
            span = int(starts[rows].min()), int(stops[rows].max())
            some = None if texts is None else texts[rows]
            load = partial(self._samples, shard, span, image[rows] if images else None, some)
            pieces.append(Read(shard, ordinals[rows], span[1] - span[0], load))
        return pieces

    def _samples(
        self, shard: int, span: tuple[int, int], image: np.ndarray | None, text: np.ndarray | None
    ) -> list[Sample]:
        content = self.files[shard].read(*span)
        images: list[bytes | None] = [] if image is None else [
            content[a - span[0] : b - span[0]] for a, b in image.tolist()
        ]  # fmt: skip
        if text is None or self._caption is None:
            return [Sample(each) for each in images]
        inside = (text[:, 0] >= span[0]) & (text[:, 1] <= span[1])
        apart = self._apart(shard, text[~inside])
        captions = [
            self._caption.value(content[a - span[0] : b - span[0]] if near else apart[a])
            for (a, b), near in zip(text.tolist(), inside.tolist(), strict=True)
        ]
        pairs = zip(images or [None] * len(captions), captions, strict=True)
        return [Sample(each, caption) for each, caption in pairs]

    def _apart(self, shard: int, places: np.ndarray) -> dict[int, bytes]:
        """The files at these places, by their first bytes'."""
        places = places[np.argsort(places[:, 0])]
        files: dict[int, bytes] = {}
        for run in runs(places[:, 0], places[:, 1], _GAP, _LIMIT):
            start, stop = int(places[run][0, 0]), int(places[run][-1, 1])
            content = self.files[shard].read(start, stop)
            files |= {a: content[a - start : b - start] for a, b in places[run].tolist()}
        return files
