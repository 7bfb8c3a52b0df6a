import os
from types import SimpleNamespace

import pytest
import torch

from zoo.callbacks import Loss, LossByQuartile, Throughput
from zoo.callbacks.loss_by_quartile import quartile
from zoo.logger.csv import MetricsCSV, rows_of
from zoo.records import Batch


class Recorder:
    def __init__(self):
        self.rows = []

    def log_metrics(self, metrics, step):
        self.rows.append((step, metrics))


def trainer(every=2):
    return SimpleNamespace(
        global_step=0,
        log_every_n_steps=every,
        loggers=[Recorder()],
        world_size=1,
        accumulate_grad_batches=1,
    )


SCHEDULE = SimpleNamespace(end=100)
MODULE = SimpleNamespace(diffusion=SimpleNamespace(schedule=SCHEDULE), automatic_optimization=True)
ONE = Batch(torch.zeros(1, 1))


def run(callback, outputs, every=2, module=MODULE, batch=ONE):
    """Feeds one optimizer step per entry of ``outputs``; returns what was logged."""
    of = trainer(every)
    callback.on_train_start(of, module)
    for index, output in enumerate(outputs):
        of.global_step += 1
        callback.on_train_batch_end(of, module, output, batch, index)
    return of.loggers[0].rows


def test_the_loss_is_the_mean_since_the_last_row():
    losses = [1.0, 3.0, 5.0, 9.0, 100.0]
    rows = run(Loss(), [{"loss": torch.tensor(x)} for x in losses])
    assert rows == [(1, {"train/loss": 2.0}), (3, {"train/loss": 7.0})]


def test_the_loss_curve_is_thinned_by_averaging():
    loss = Loss()
    run(loss, [{"loss": torch.tensor(float(x))} for x in range(1000)], every=1)
    curve = loss.curve(10)
    assert len(curve) == 10
    assert curve[0] == (100, 49.5)
    assert curve[-1] == (1000, 949.5)
    again = Loss()
    again.load_state_dict(loss.state_dict())
    assert again.curve(10) == curve


@pytest.mark.parametrize("end", [4, 1000, 4000])
def test_quartiles_of_integer_times_are_equally_large(end):
    counts = torch.bincount(quartile(torch.arange(1, end + 1).double(), end), minlength=4)
    assert counts.tolist() == [end // 4] * 4


def test_quartiles_of_fractional_times():
    t = torch.tensor([1e-9, 0.25, 0.2500001, 0.5, 0.75, 0.999, 1.0])
    assert quartile(t, 1.0).tolist() == [0, 0, 1, 1, 2, 3, 3]


def test_the_loss_by_quartile_averages_images_and_leaves_empty_ones_out():
    outputs = [
        {"t": torch.tensor([1.0, 2.0, 100.0]), "loss_per_image": torch.tensor([1.0, 2.0, 7.0])},
        {"t": torch.tensor([3.0, 30.0]), "loss_per_image": torch.tensor([6.0, 5.0])},
        {"t": torch.tensor([60.0]), "loss_per_image": torch.tensor([4.0])},
        {"loss": torch.tensor(0.0)},  # an autoencoder's
    ]
    rows = run(LossByQuartile(), outputs)
    assert rows[0] == (1, {"train/loss_q1": 3.0, "train/loss_q2": 5.0, "train/loss_q4": 7.0})
    assert rows[1] == (3, {"train/loss_q3": 4.0})


def test_throughput_counts_images_and_time_over_resumption(monkeypatch):
    now = iter(range(0, 1000, 2))
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    first, batch = Throughput(), Batch(torch.zeros(6, 1))
    module = SimpleNamespace(device=torch.device("cpu"))
    rows = run(first, [{}] * 4, module=module, batch=batch)
    step, row = rows[-1]
    assert (step, row["train/images_per_second"], row["train/images_seen"]) == (3, 3.0, 24.0)
    assert row["train/peak_memory_gib"] > 0.01
    resumed = Throughput()
    resumed.load_state_dict(first.state_dict())
    run(resumed, [{}] * 2, module=module, batch=batch)
    assert (resumed.images_seen, resumed.seconds) == (36, 12.0)


def test_a_training_says_what_it_costs_over_resumption(monkeypatch):
    module, batch = SimpleNamespace(device=torch.device("cpu")), Batch(torch.zeros(6, 1))
    joules = iter([5.0, 7.0, 1.0])
    counter = SimpleNamespace(joules=lambda: next(joules), source="RAPL")
    monkeypatch.setattr("zoo.callbacks.throughput.Energy", lambda device: counter)
    monkeypatch.setattr("zoo.callbacks.throughput.peak_memory", lambda device: 3 << 30)
    monkeypatch.setattr("zoo.callbacks.throughput.measured_peak", lambda device, dtype: 1e9)
    monkeypatch.setattr("zoo.callbacks.throughput.training_flops", lambda module, data: 10**6)
    monkeypatch.setattr("time.monotonic", iter([float(x) for x in range(99)]).__next__)
    of = trainer()
    of.datamodule, of.precision, of.local_rank = SimpleNamespace(), "32-true", 0
    first = Throughput()
    first.setup(of, module, "fit")
    first.on_train_start(of, module)
    for index in range(4):
        of.global_step += 1
        first.on_train_batch_end(of, module, {}, batch, index)
    row = of.loggers[0].rows[-1][1]
    assert row["train/energy_joules"] == 7.0
    assert row["train/peak_memory_gib"] == 3.0
    assert row["train/flop_utilisation"] == pytest.approx(6 * 1e6 / 1e9)
    resumed = Throughput()
    resumed.load_state_dict(first.state_dict())
    resumed.on_train_start(of, module)
    monkeypatch.setattr("zoo.callbacks.throughput.peak_memory", lambda device: 1 << 30)
    resumed.on_train_end(of, module)
    facts = resumed.facts(torch.nn.Linear(2, 3))
    assert (facts["energy_joules"], facts["energy_by"], facts["parameters"]) == (8.0, "RAPL", 9)
    assert facts["peak_memory_bytes"] == 3 << 30


def read(path):
    return path.read_text().splitlines()


def test_values_of_one_step_share_a_row_and_new_columns_are_added(tmp_path):
    log = MetricsCSV(tmp_path / "run" / "metrics.csv")
    log.log_metrics({"a": 1.0}, 1)
    log.log_metrics({"b": 2.0}, 1)
    log.save()
    log.log_metrics({"a": 3.0}, 3)
    log.save()
    assert read(log.path) == ["step,a,b", "1,1.0,2.0", "3,3.0,"]
    log.log_metrics({"c": 4.0}, 5)
    log.finalize("success")
    assert read(log.path) == ["step,a,b,c", "1,1.0,2.0,", "3,3.0,,", "5,,,4.0"]


def test_values_of_a_step_that_is_written_already_join_its_row(tmp_path):
    log = MetricsCSV(tmp_path / "metrics.csv")
    for step in (1, 3):
        log.log_metrics({"a": 1.0}, step)
        log.save()
        log.log_metrics({"b": 2.0}, step)
        log.save()
    log.log_metrics({"a": 5.0}, 3)
    log.log_metrics({"a": 6.0}, 5)
    log.save()
    assert read(log.path) == ["step,a,b", "1,1.0,2.0", "3,5.0,2.0", "5,6.0,"]


def test_a_resumed_run_keeps_the_rows_before_it_and_repeats_none(tmp_path):
    path = tmp_path / "metrics.csv"
    first = MetricsCSV(path)
    for step in range(5):
        first.log_metrics({"a": step}, step)
        first.save()
    second = MetricsCSV(path)
    assert len(read(path)) == 6, "making a logger changes nothing"
    second.log_metrics({"a": 30.0, "b": 1.0}, 3)
    second.save()
    assert read(path) == ["step,a,b", "0,0,", "1,1,", "2,2,", "3,30.0,1.0"]


def test_whole_rows_are_in_the_file_at_once_and_appended(tmp_path, monkeypatch):
    log = MetricsCSV(tmp_path / "metrics.csv")
    log.log_metrics({"a": 1.0}, 0)
    log.log_metrics({"a": 2.0}, 1)
    first = log.path.stat().st_ino
    for step in range(2, 6):
        assert read(log.path)[-1] == f"{step - 2},{float(step - 1)}", "all but the row of this step"
        log.log_metrics({"a": step + 1.0}, step)
    assert log.path.stat().st_ino == first, "the file was replaced where a row was to be added"
    log.sync()
    assert read(log.path)[-1] == "5,6.0"


@pytest.mark.parametrize("torn", ["7,1.", "7,", "7", "7,1.0,2", "x,1.0", "\0\0\0"])
def test_a_torn_last_line_is_dropped(tmp_path, torn):
    path = tmp_path / "metrics.csv"
    path.write_text("step,a,b\n1,1.0,2.0\n3,3.0,\n" + torn)
    log = MetricsCSV(path)
    log.resume(9)
    log.log_metrics({"a": 9.0}, 9)
    log.save()
    assert read(path) == ["step,a,b", "1,1.0,2.0", "3,3.0,", "9,9.0,"]


def test_resuming_drops_what_is_made_again_and_the_last_row_may_get_more(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,a\n1,1.0\n3,3.0\n5,5.0\n7,7.0\n")
    log = MetricsCSV(path)
    log.resume(4)
    assert read(path) == ["step,a", "1,1.0", "3,3.0"]
    log.log_metrics({"validation/loss": 0.5}, 3)
    log.log_metrics({"a": 5.5}, 5)
    log.finalize("success")
    assert read(path) == ["step,a,validation/loss", "1,1.0,", "3,3.0,0.5", "5,5.5,"]


def test_the_file_is_whole_whenever_a_kill_may_come(tmp_path, monkeypatch):
    """Before and after every call that changes it: old rows are there, none in part."""
    seen = []

    def watched(name):
        call = getattr(MetricsCSV, name)

        def around(self, *args):
            seen.append(rows_of(self.path))
            call(self, *args)
            seen.append(rows_of(self.path))

        monkeypatch.setattr(MetricsCSV, name, around)

    for name in ("_append", "_replace"):
        watched(name)
    monkeypatch.setattr("os.replace", _seeing(os.replace, tmp_path / "metrics.csv", seen))
    log = MetricsCSV(tmp_path / "metrics.csv")
    for step in range(1, 9):
        log.log_metrics({"a": step}, step)
        if step % 3 == 0:
            log.sync()
            log.log_metrics({f"new{step}": 1.0}, step)
    log.save()
    counts = [len(rows) for rows in seen]
    assert counts == sorted(counts) and counts[-1] == 8
    assert [row["a"] for row in seen[-1]] == [str(step) for step in range(1, 9)]


def _seeing(call, path, seen):
    def around(*args):
        seen.append(rows_of(path))
        call(*args)

    return around


@pytest.mark.filterwarnings("ignore:.*rows wait in memory")
def test_rows_wait_where_the_disk_is_full(tmp_path, monkeypatch):
    log = MetricsCSV(tmp_path / "metrics.csv")
    log.log_metrics({"a": 1.0}, 1)
    log.save()
    append = MetricsCSV._append

    def full(self, text):
        with self.path.open("a") as file:
            file.write(text[:2])  # as far as there is room
        self._torn = True
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MetricsCSV, "_append", full)
        patch.setattr(MetricsCSV, "_replace", lambda self, rows: full(self, ""))
        for step in (3, 5, 7):
            log.log_metrics({"a": float(step)}, step)
        with pytest.raises(OSError, match="No space left"):
            log.sync()
    assert MetricsCSV._append is append
    log.log_metrics({"a": 9.0}, 9)
    log.finalize("success")
    assert read(log.path) == ["step,a", "1,1.0", "3,3.0", "5,5.0", "7,7.0", "9,9.0"]
