"""A kept file that was changed since it was written is measured again, with one warning."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from test_cache import Cache, Projection, measured, settled, split

from eval.metric import FrechetDistance, KernelDistance
from zoo import DDPM
from zoo.conditioner import ClassLabel
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.part import Part
from zoo.sampler import DDIM
from zoo.schedule import Linear

METRICS = [FrechetDistance, partial(KernelDistance, subsets=3)]
KEPT = [
    "[0-9a-f]*/result.json",
    "[0-9a-f]*/images.npz",
    "real/*.json",
    "features/*/pool.npz",
    "features/*/pool.npy",
    "images/*/0-4.npz",
    "images/*/4-8.npz",
]


class Halves(Part, torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor, t: Tensor, condition: Any) -> Tensor:
        return x * self.factor


def of(train: int, test: int) -> Any:
    images = split(30, train)
    return SimpleNamespace(
        name="numbers", shape=(1, 4, 4), train=images, test=split(24, test), flip=False,
        fingerprint=images.fingerprint, num_classes=2,
    )  # fmt: skip


DATA = of(0, 1)


@pytest.fixture(scope="module")
def model() -> DDPM:
    return DDPM(Halves(), GaussianDiffusion(Linear()), (1, 4, 4), DDIM(1), ClassLabel(2))


def run(model: DDPM, folder: Path | None, data: Any = DATA, extractor: Any = None) -> Any:
    cache = None if folder is None else Cache(folder)
    found = measured(model, data, cache, metrics=METRICS, extractor=extractor or Projection())
    return settled(found.result)


@pytest.fixture(scope="module")
def whole(model: DDPM) -> Any:
    return run(model, None)


def filled(model: DDPM, folder: Path, data: Any) -> Path:
    """A cache in which each kind of file is the first that is needed, in a folder of its own."""
    generate = model.generate

    def dying(*args: Any, **options: Any) -> Tensor:
        if 8 in options["indices"]:
            raise KeyboardInterrupt
        return generate(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "generate", dying)
        with pytest.raises(KeyboardInterrupt):
            run(model, folder / "images", data)
    run(model, folder / "all", data)
    for kind in ("real", "features"):  # what would make these needless is removed
        shutil.copytree(folder / "all", folder / kind)
        for result in (folder / kind).glob("[0-9a-f]*/result.json"):
            shutil.rmtree(result.parent)
    shutil.rmtree(folder / "features" / "real")
    return folder


@pytest.fixture(scope="module")
def caches(model: DDPM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(model, tmp_path_factory.mktemp("one"), DATA)


@pytest.fixture(scope="module")
def others(model: DDPM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(model, tmp_path_factory.mktemp("two"), of(5, 6))


def cache_for(caches: Path, kind: str) -> Path:
    return caches / ("all" if kind.startswith("[") else kind.partition("/")[0])


@pytest.fixture
def file(caches: Path, kind: str, tmp_path: Path) -> Path:
    """A sound file of a kind, in a cache of its own at ``tmp_path / "cache"``."""
    shutil.copytree(cache_for(caches, kind), tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob(kind)
    return path


def flip(file: Path, *positions: int) -> None:
    data = bytearray(file.read_bytes())
    for position in positions:
        data[position] ^= 1
    file.write_bytes(data)


DAMAGES: dict[str, Callable[[Path, int], object]] = {
    "the first byte": lambda file, size: flip(file, 0),
    "the header": lambda file, size: flip(file, 12),
    "a quarter": lambda file, size: flip(file, size // 4),
    "the middle": lambda file, size: flip(file, size // 2),
    "before the checksum": lambda file, size: flip(file, size - 90),
    "the last byte": lambda file, size: flip(file, size - 1),
    "a bit in a hundred bytes": lambda file, size: flip(file, *range(0, size, 99)),
    "shorter by a byte": lambda file, size: file.write_bytes(file.read_bytes()[:-1]),
    "cut in half": lambda file, size: file.write_bytes(file.read_bytes()[: size // 2]),
    "emptied": lambda file, size: file.write_bytes(b""),
    "longer by a byte": lambda file, size: file.write_bytes(file.read_bytes() + b"0"),
    "other bytes": lambda file, size: file.write_bytes(bytes(range(256)) * 8),
    "a list": lambda file, size: file.write_text("[1, 2]"),
    "a folder": lambda file, size: (file.unlink(), file.mkdir()),
    "unreadable": lambda file, size: file.chmod(0),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KEPT)
def test_a_damaged_file_is_a_miss_with_one_warning(
    model: DDPM, whole: Any, tmp_path: Path, file: Path, kind: str, damage: str
) -> None:
    if damage == "unreadable" and os.geteuid() == 0:
        pytest.skip("root reads everything")
    DAMAGES[damage](file, file.stat().st_size)
    with pytest.warns(UserWarning, match=r"is not used \(.*measured again") as warned:
        assert run(model, tmp_path / "cache") == whole
    assert len(warned) == 1, [str(warning.message) for warning in warned]
    assert file.name in str(warned[0].message)
    if file.is_dir():
        assert not list(file.iterdir())  # it is not the cache's, so it stays
    else:
        assert run(model, tmp_path / "cache") == whole  # it was written anew: no warning


@pytest.mark.parametrize("kind", KEPT)
def test_a_sound_file_costs_nothing(model: DDPM, whole: Any, tmp_path: Path, file: Path) -> None:
    extractor = Projection()
    assert run(model, tmp_path / "cache", extractor=extractor) == whole
    assert extractor.seen in (0, 22, 24 + 22)


@pytest.mark.parametrize("kind", KEPT)
def test_a_sound_file_of_another_key_is_a_miss(
    model: DDPM, whole: Any, tmp_path: Path, file: Path, kind: str, others: Path
) -> None:
    (foreign,) = cache_for(others, kind).glob(kind)
    assert foreign.read_bytes() != file.read_bytes()
    shutil.copy(foreign, file)
    with pytest.warns(UserWarning, match="its checksum is wrong") as warned:
        assert run(model, tmp_path / "cache") == whole
    assert len(warned) == 1


@pytest.mark.parametrize("kind", KEPT[:1] + KEPT[2:3])
def test_no_digit_can_be_changed(
    model: DDPM, whole: Any, tmp_path: Path, file: Path, kind: str
) -> None:
    text = file.read_text()
    digits = [match.start() for match in re.finditer(r"(?<=[ .0-9])[0-8](?=[0-9.,])", text)]
    for position in {*digits[:: len(digits) // 8], digits[-1]}:
        digit = str(int(text[position]) + 1)
        file.write_text(text[:position] + digit + text[position + 1 :])
        shutil.copytree(tmp_path / "cache", tmp_path / str(position))
        with pytest.warns(UserWarning, match="its checksum is wrong") as warned:
            assert run(model, tmp_path / str(position)) == whole
        assert len(warned) == 1


def test_what_cannot_be_written_is_measured_all_the_same(
    model: DDPM, whole: Any, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file in the folder's place")
    with pytest.warns(UserWarning, match="was not written|is not used"):
        assert run(model, tmp_path / "cache") == whole
