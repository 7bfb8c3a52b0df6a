"""What every test shares: nothing of the user's is read or written, and nobody else is reached."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_OFFLINE = Path(__file__).parent / "offline"


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the tests' own: evaluations made before must not answer for what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No network but this machine, here and in every Python that a test starts.

    Gives the file that attempts are written to.
    """
    attempts = tmp_path_factory.mktemp("offline") / "attempts"
    attempts.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_TESTS_ATTEMPTS", str(attempts))
        patch.setenv("PYTHONPATH", str(_OFFLINE), prepend=os.pathsep)
        spec = importlib.util.spec_from_file_location("offline", _OFFLINE / "sitecustomize.py")
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        yield attempts


@pytest.fixture(autouse=True)
def reaches_nobody(offline: Path) -> Iterator[None]:
    """Fails a test that tried to reach the network, even where the code got over it."""
    before = offline.stat().st_size
    yield
    if offline.stat().st_size > before:
        tried = offline.read_bytes()[before:].decode().split()
        pytest.fail(f"this test asked the network for {', '.join(sorted(set(tried)))}")
