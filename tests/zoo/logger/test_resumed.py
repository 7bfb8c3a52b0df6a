"""Trackers of a killed and resumed run: every step once, what the kill took from metrics.csv."""

import logging
from types import SimpleNamespace

import pytest

from zoo.logger import wandb
from zoo.logger.csv import MetricsCSV, rows_of
from zoo.logger.resume import resume
from zoo.logger.tensorboard import TensorBoard
from zoo.logger.wandb import OneRowPerStep
from zoo.logger.wandb_file import records

FILE = "step,a,b\n1,1.0,\n3,3.0,\n5,5.0,0.5\n7,7.0,\n"


@pytest.fixture
def file(tmp_path):
    (tmp_path / "metrics.csv").write_text(FILE)
    return MetricsCSV(tmp_path / "metrics.csv")


def tracker(tmp_path, monkeypatch, last):
    """A tracker of W&B whose earlier part ends with ``last``, and what is handed over to W&B."""
    handed = []
    run = SimpleNamespace(
        id="x", starting_step=0, log=lambda row, step=None: handed.append((step, row))
    )
    logger = OneRowPerStep(project="p", save_dir=tmp_path)
    logger._experiment = run
    monkeypatch.setattr(OneRowPerStep, "experiment", property(lambda self: run))
    monkeypatch.setattr(wandb, "last_step", lambda folder, run_id: last)
    return logger, handed


@pytest.mark.parametrize(
    ("last", "steps"), [(-1, [1, 3, 5, 7, 9]), (3, [5, 7, 9]), (5, [7, 9]), (7, [9]), (9, [])]
)
def test_wandb_gets_what_its_earlier_part_lacks_and_nothing_twice(
    tmp_path, monkeypatch, file, last, steps
):
    logger, handed = tracker(tmp_path, monkeypatch, last)
    resume([file, logger], 6)  # the state is after step 5, counted from 0
    for step in (7, 9):
        for each in (file, logger):
            each.log_metrics({"a": float(step)}, step)
    logger.finalize("success")
    assert [step for step, _ in handed] == steps
    assert all(row["a"] == step == row["trainer/global_step"] for step, row in handed)
    file.finalize("success")
    assert [row["step"] for row in rows_of(file.path)] == [1, 3, 5, 7, 9]


def test_the_row_of_a_step_that_is_broken_off_waits_for_the_resumed_run(
    tmp_path, monkeypatch, file
):
    logger, handed = tracker(tmp_path, monkeypatch, -1)
    logger.log_metrics({"a": 1.0}, 1)
    logger.log_metrics({"a": 3.0}, 3)
    logger.finalize("failed")
    assert [step for step, _ in handed] == [1]
    again, handed = tracker(tmp_path, monkeypatch, 1)
    resume([file, again], 4)
    again.log_metrics({"validation/loss": 0.25}, 3)  # what was left of the step
    again.finalize("success")
    assert handed == [(3, {"a": 3.0, "validation/loss": 0.25, "trainer/global_step": 3})]


def test_tensorboard_shows_every_step_once(tmp_path, file, caplog):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = TensorBoard(tmp_path, name="tensorboard", version="")
    for step in (1, 3, 5, 7):
        first.log_metrics({"a": float(step)}, step)
    first.log_metrics({"a": 0.0, "c": 7.0}, 7)  # a value that is there is not logged twice
    first.sync()
    second = TensorBoard(tmp_path, name="tensorboard", version="")
    resume([file, second], 6)
    for step in (7, 9):
        second.log_metrics({"a": float(step)}, step)
    second.sync()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    with caplog.at_level(logging.CRITICAL):
        events.Reload()
    shown = {e.step: e.value for e in events.Scalars("a")}
    assert [e.step for e in events.Scalars("a")] == [1, 3, 5, 7, 9]
    assert shown == {step: float(step) for step in shown}
    assert [(e.step, e.value) for e in events.Scalars("b")] == [(5, 0.5)]


def test_a_log_that_is_cut_off_is_read_as_far_as_it_goes():
    part = lambda data, kind: bytes(4) + len(data).to_bytes(2, "little") + bytes([kind]) + data  # noqa: E731
    log = bytes(7) + part(b"one", 1) + part(b"tw", 2) + part(b"o", 4) + part(b"three", 1)
    assert list(records(log)) == [b"one", b"two", b"three"]
    assert list(records(log[:-2])) == [b"one", b"two"]
    assert list(records(log[:-9])) == [b"one", b"two"]
    assert list(records(bytes(7))) == list(records(b"")) == []
