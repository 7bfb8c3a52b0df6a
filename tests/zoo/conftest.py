import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY = [
    "model.denoiser.channels=32",
    "model.denoiser.channel_mult=[1]",
    "model.denoiser.attention_at=[]",
    "model.denoiser.num_res_blocks=1",
    "model.denoiser.dropout=0.0",
    "sampler.num_steps=2",
]
SHORT = [
    "data.batch_size=4",
    "callbacks.sample_grid.num_images=4",
    "callbacks.sample_grid.sampler.num_steps=2",
    "trainer=cpu",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=2",
    "trainer.limit_val_batches=0",
    "recipe.lr_scheduler.num_steps=5",
]


@pytest.fixture(scope="session")
def digits() -> Any:
    from zoo.data import Digits

    return Digits(name="digits", image_size=16, channels=1, num_classes=10).load()


@pytest.fixture
def config(digits: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Composes a training of a second: ``config(run_dir, "seed=1", ..., tiny=TINY)``."""
    from zoo.data import Digits
    from zoo.entry import compose

    monkeypatch.setattr(Digits, "load", lambda self: digits)

    def composed(run_dir: Path, *overrides: str, tiny: list[str] = TINY) -> Any:
        return compose("train", [*tiny, *SHORT, f"run_dir={run_dir}", *overrides])

    return composed


@pytest.fixture
def state() -> Callable[[Path], Any]:
    """Reads the state to resume from in a run's folder."""
    import torch

    return lambda run_dir: torch.load(run_dir / "last.ckpt", weights_only=True)


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, str]]]:
    """Reads the logged rows in a run's folder."""

    def read(run_dir: Path) -> list[dict[str, str]]:
        with (run_dir / "metrics.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture
def curves(
    rows: Callable[[Path], list[dict[str, str]]],
) -> Callable[[Path], list[dict[str, str]]]:
    """Reads the logged rows in a run's folder, without what depends on the machine."""
    from zoo.callbacks.throughput import OF_THE_MACHINE

    def read(run_dir: Path) -> list[dict[str, str]]:
        return [
            {name: value for name, value in row.items() if name not in OF_THE_MACHINE}
            for row in rows(run_dir)
        ]

    return read


@pytest.fixture
def assert_equal() -> Callable[[Any, Any], None]:
    """Compares nested states, tensors bit for bit."""
    import torch

    def compare(a: Any, b: Any) -> None:
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b)
        elif isinstance(a, dict):
            assert a.keys() == b.keys()
            for key in a:
                compare(a[key], b[key])
        elif isinstance(a, list | tuple):
            assert len(a) == len(b)
            for x, y in zip(a, b, strict=True):
                compare(x, y)
        else:
            assert a == b

    return compare
