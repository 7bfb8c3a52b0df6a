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
