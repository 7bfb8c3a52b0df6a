from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data.source import files

USERS_DATA = os.environ.get("ZOO_DATA")


@pytest.fixture(autouse=True)
def own_folders(monkeypatch, tmp_path):
    """No test reads the user's data or writes into the user's cache unasked."""
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def say_again():
    """What was said in another test is said again."""
    files.say_once.cache_clear()


@pytest.fixture
def users_data(monkeypatch):
    """The folder that ZOO_DATA named when the tests began."""
    if USERS_DATA is None:
        pytest.skip("ZOO_DATA is not set: no real CIFAR-10 or emoji to read")
    monkeypatch.setenv("ZOO_DATA", USERS_DATA)
    return Path(USERS_DATA)


@pytest.fixture
def png():
    """Makes the i-th encoded image: every pixel has the value i, all images are 8x8."""

    def encode(value, size=(8, 8), kind="PNG"):
        file = io.BytesIO()
        array = np.full((*size[::-1], 3), value, dtype=np.uint8)
        Image.fromarray(array).save(file, kind)
        return file.getvalue()

    return encode
