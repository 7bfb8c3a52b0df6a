from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

import zoo
from eval.callback import EvaluateWhileTraining
from eval.extractor import Small
from eval.metric.few_images import FewImagesReference
from zoo.entry import compose
from zoo.paths import checkpoints
from zoo.training.train import train

TINY = [
    "data=digits", "data.batch_size=4", "model=ddpm", "conditioner=class_label",
    "model.denoiser.channels=32", "model.denoiser.channel_mult=[1]",
    "model.denoiser.attention_at=[]", "model.denoiser.num_res_blocks=1",
    "model.denoiser.dropout=0.3", "sampler.num_steps=2", "recipe.lr_scheduler.num_steps=5",
    "trainer=cpu", "trainer.precision=32-true", "trainer.log_every_n_steps=1",
    "trainer.limit_val_batches=0", "callbacks.sample_grid=null",
]  # fmt: skip
FEW = [
    "callbacks=evaluation", "callbacks.evaluation.every_n_steps=2",
    "callbacks.evaluation.num_images=21", "callbacks.evaluation.num_reference=50",
    "callbacks.evaluation.batch_size=8",
]  # fmt: skip
NAMES = ["evaluation/kid_small", "evaluation/fid_small_21"]


def trained(run_dir: Path, *overrides: str) -> Path:
    return train(compose("train", [*TINY, f"run_dir={run_dir}", *overrides]))


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def measured(run_dir: Path) -> dict[int, dict[str, float]]:
    """Step to the numbers of an evaluation."""
    return {
        int(row["step"]): {k: float(v) for k, v in row.items() if k.startswith("evaluation/")}
        for row in rows(run_dir)
        if row.get(NAMES[0])
    }


def assert_equal(a: Any, b: Any) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_equal(one, other)
    else:
        assert a == b


def test_training_continues_bit_for_bit_whole_or_resumed(tmp_path: Path) -> None:
    without = trained(tmp_path / "without", "trainer.max_steps=5")
    whole = trained(tmp_path / "with", "trainer.max_steps=5", *FEW)
    trained(tmp_path / "parts", "trainer.max_steps=3", *FEW)
    trained(tmp_path / "parts", "trainer.max_steps=5", "ckpt_path=last", *FEW)
    state = [torch.load(tmp_path / name / "last.ckpt", weights_only=True)
             for name in ("without", "with", "parts")]  # fmt: skip
    for other in state[1:]:
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "time_sampler"):
            assert_equal(state[0].get(part), other.get(part))
        assert_equal(state[0]["callbacks"]["EMA"], other["callbacks"]["EMA"])
    assert_equal(*(zoo.load(path).state_dict() for path in (without, whole)))
    losses = [[row["train/loss"] for row in rows(tmp_path / name)]
              for name in ("without", "with", "parts")]  # fmt: skip
    assert losses[0] == losses[1] == losses[2]
    found = measured(tmp_path / "with")
    assert list(found) == [1, 3, 4]  # after steps 2 and 4, and at the end
    parts = measured(tmp_path / "parts")
    assert list(parts) == [1, 2, 3, 4]  # the first part ended after step 3
    assert all(parts[step] == found[step] for step in found)
    assert found[1] != found[3]


def test_the_last_numbers_are_those_of_the_saved_model(tmp_path: Path) -> None:
    path = trained(tmp_path, "trainer.max_steps=3", "recipe.ema.decay=0.5", *FEW)
    model = zoo.load(path)  # holds the averages of step 3
    small = Small(checkpoints() / "digits" / "small_extractor.safetensors")
    split = instantiate(compose("train", TINY).data).load()[0]
    kept = torch.linspace(0, len(split) - 1, 50, dtype=torch.float64).round().long()
    few = FewImagesReference(small(split.gather(kept))["pool"])
    features = small(model.generate(21, torch.arange(21) % 10))["pool"]
    last = measured(tmp_path)[2]
    for name, found in zip(NAMES, (few.kid(features), few.fid(features)), strict=True):
        assert last[name] == pytest.approx(found.value, rel=1e-4)
        ends = (last[f"{name}_low"], last[f"{name}_high"])
        assert ends == pytest.approx((found.low, found.high), rel=1e-3, abs=1e-4)


def test_an_evaluation_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure, seen = EvaluateWhileTraining.measure, []

    def state(module: Any) -> list[Any]:
        frozen = [part.training for part in module.modules()]
        weights = {name: value.clone() for name, value in module.state_dict().items()}
        _, keys, position, *_ = np.random.get_state()  # noqa: NPY002
        streams = [torch.get_rng_state(), torch.from_numpy(keys), position, random.getstate()]
        return [frozen, weights, *streams]

    def watched(self: Any, trainer: Any, module: Any) -> dict[str, float]:
        next(iter(module.denoiser.children())).eval()  # a part that a user has frozen
        before = state(module)
        extractor = self.extractor

        def drawing(images: torch.Tensor) -> dict[str, torch.Tensor]:
            seen.append([float(torch.rand(())), random.random(), np.random.random()])  # noqa: NPY002
            return extractor(images)

        drawing.name = extractor.name  # type: ignore[attr-defined]
        self.extractor = drawing
        found = measure(self, trainer, module)
        self.extractor = extractor
        assert_equal(before, state(module))
        return found

    monkeypatch.setattr(EvaluateWhileTraining, "measure", watched)
    trained(tmp_path, "trainer.max_steps=2", *FEW)
    assert len(seen) == 3  # 21 images by 8


def test_with_every_validation_and_a_checkpoint_of_the_best(tmp_path: Path) -> None:
    trained(
        tmp_path, "trainer.max_steps=5", *FEW, "callbacks.evaluation.every_n_steps=null",
        "trainer.limit_val_batches=1", "trainer.val_check_interval=2",
        "+callbacks.best._target_=lightning.pytorch.callbacks.ModelCheckpoint",
        "+callbacks.best.monitor=evaluation/kid_small", "+callbacks.best.save_top_k=1",
        f"+callbacks.best.dirpath={tmp_path}/best", "+callbacks.best.every_n_train_steps=1",
        "+callbacks.best.filename='{step}'",
    )  # fmt: skip
    found = measured(tmp_path)
    assert list(found) == [1, 3, 4]  # two validations, and the end
    assert len(list((tmp_path / "best").glob("step=*.ckpt"))) == 1


def test_what_cannot_be_measured_is_heard_of_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.DDPM, "training_step", lambda *_: pytest.fail("it trained"))
    with pytest.raises(ValueError, match="absent: no such file"):
        trained(tmp_path, *FEW, "callbacks.evaluation.extractor.path=absent")
    with pytest.raises(ValueError, match="every_n_steps is positive, or null, got 0"):
        EvaluateWhileTraining(Small, every_n_steps=0)
    with pytest.raises(ValueError, match="at least 2 .* got 1, 10000, 64"):
        EvaluateWhileTraining(Small, num_images=1)


def test_modules_that_do_not_generate_are_skipped() -> None:
    callback, module = EvaluateWhileTraining(Small), torch.nn.Linear(1, 1)
    callback.on_fit_start(None, module)  # type: ignore[arg-type]
    assert callback.measure(None, module) == {}  # type: ignore[arg-type]


@pytest.mark.slow
def test_two_processes_with_uneven_shares_find_the_numbers_of_one(tmp_path: Path) -> None:
    same = ["trainer.max_steps=2", "recipe.optimizer.lr=1e-9", "model.denoiser.dropout=0.0", *FEW]
    trained(tmp_path / "one", *same)
    command = [sys.executable, "-m", "zoo.cli", "train", *TINY, *same, "trainer.devices=2",
               "trainer.strategy=ddp", f"run_dir={tmp_path}/two"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    one, two = (measured(tmp_path / name)[1] for name in ("one", "two"))
    assert one.keys() == two.keys() and len(one) == 6
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-5, abs=1e-6)
