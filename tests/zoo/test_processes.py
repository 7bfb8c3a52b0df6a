"""One training on one and on two processes, and with its batches accumulated."""

import importlib
import math
import os
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(
    torch.cuda.is_available() or not hasattr(os, "fork"), reason="forks a process that has trained"
)


@pytest.fixture
def trainings(monkeypatch, digits):
    from zoo.data import Digits

    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(Digits, "load", lambda self: digits)
    return importlib.import_module("_processes")


LITTLE = ["trainer.max_steps=4", "trainer.val_check_interval=4", "trainer.limit_val_batches=3"]


@pytest.mark.parametrize(
    ("model", "more", "alone"),
    [
        ("ddpm with times by their loss", [], 2),
        ("vq_autoencoder against a discriminator", [], 2),
        (
            "noisy_classifier",
            [
                "trainer.accumulate_grad_batches=2",
                "data.batch_size=4",
                "trainer.limit_val_batches=6",
            ],
            1,
        ),
    ],
)
def test_a_batch_gives_the_same_on_one_process_and_shared_or_accumulated(
    tmp_path, trainings, model, more, alone
):
    common = [*trainings.COMMON, *trainings.MODELS[model], "data.batch_size=8", *LITTLE]
    one, other = tmp_path / "one", tmp_path / "other"
    assert trainings.train_on(1, [*common, f"run_dir={one}"]) == [0], printed(one)
    settings = [*common, *more, f"run_dir={other}"]
    if more:
        settings = [o for o in settings if o not in ("trainer.val_check_interval=4", LITTLE[2])]
        settings += ["trainer.val_check_interval=8"]
    assert trainings.train_on(alone, settings) == [0] * alone, printed(other)
    ours, theirs = trainings.curves(one), trainings.curves(other)
    assert ours.keys() == theirs.keys() and ours["train/loss"].keys() == {0, 1, 2, 3}
    assert ours["validation/loss"].keys() == {3}
    for name, curve in ours.items():
        assert trainings.largest_difference(curve, theirs[name]) < 1e-5, name
    states = trainings.state(one), trainings.state(other)
    assert trainings.weight_difference(*states) < 1e-4


def test_all_processes_skip_what_is_not_finite_on_one(tmp_path, trainings):
    def broken(rank):
        from zoo.models.ddpm import DDPM

        step = DDPM.training_step

        def changed(self, batch, batch_idx):
            outputs = step(self, batch, batch_idx)
            if rank == 1 and batch_idx == 1:  # the gradients are finite on both
                outputs["loss"] = outputs["loss"] + math.nan
            return outputs

        DDPM.training_step = changed

    common = [*trainings.COMMON, *trainings.MODELS["ddpm"], "data.batch_size=4", *LITTLE]
    codes = trainings.train_on(2, [*common, f"run_dir={tmp_path}"], broken)
    assert codes == [0, 0], printed(tmp_path)
    saved = trainings.state(tmp_path)
    assert saved["callbacks"]["FiniteGuard"]["skipped"] == 1
    assert saved["callbacks"]["EMA"]["num_updates"] == 3
    assert "step 2 is skipped: the loss is nan (training images " in printed(tmp_path)


def printed(run_dir):
    return "".join(file.read_text() for file in sorted(run_dir.glob("printed.*")))[-3000:]
