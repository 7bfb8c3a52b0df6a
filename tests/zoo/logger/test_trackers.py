"""W&B and TensorBoard: what a tracker was given, read back from the files that it wrote."""

import csv
import json
import struct
import time

import pytest

from zoo.training.train import train


def leveldb_log(data, header=7, block=32768):
    """The records of a W&B log: LevelDB's format (crc, length, type) after a header of 7 bytes."""
    position, parts = header, []
    while position + 7 <= len(data):
        if block - position % block < 7:  # a block's rest is padding
            position += block - position % block
        length, kind = struct.unpack_from("<HB", data, position + 4)
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


def offline_run(folder):
    """What a W&B offline run wrote: its config, history rows and artifacts, from its own log."""
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("*.wandb")
    for _ in range(100):  # its service may write the file a moment after the run is finished
        if file.stat().st_size > 7:
            break
        time.sleep(0.1)
    config, history, artifacts, run_id = {}, [], [], None
    for data in leveldb_log(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run_id = record.run.run_id
            config |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
        elif kind == "config":
            config |= {i.key: json.loads(i.value_json) for i in record.config.update}
        elif kind == "history":
            items = record.history.item
            history.append(
                {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
            )
        elif kind == "artifact":
            artifacts.append(record.artifact)
    return run_id, config, history, artifacts


def test_wandb_offline_has_config_curves_pictures_and_the_model_and_one_id(
    config, tmp_path, monkeypatch
):
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    settings = ["logger=wandb", "callbacks.training_state.every_n_steps=2"]
    train(config(tmp_path, "trainer.max_steps=2", *settings))
    train(config(tmp_path, "trainer.max_steps=4", *settings, "ckpt_path=last"))
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"), key=lambda p: p.stat().st_mtime)
    assert len(folders) == 2
    runs = [offline_run(folder) for folder in folders]
    run_id = (tmp_path / "wandb_id.txt").read_text()
    assert [run[0] for run in runs] == [run_id, run_id]
    for (_, noted, history, artifacts), steps in zip(runs, (2, 4), strict=True):
        assert noted["data"]["name"] == "digits"
        assert noted["seed"] == 0
        assert noted["trainer"]["max_steps"] == steps
        losses = {
            row["trainer/global_step"]: row["train/loss"] for row in history if "train/loss" in row
        }
        assert list(losses) == [steps - 1], "a step was logged twice, or not at all"
        assert [row["_step"] for row in history] == [steps - 1], "a step has several rows"
        assert any("train/loss_q1" in row or "train/loss_q4" in row for row in history)
        (kind,) = [row["samples/_type"] for row in history if "samples/_type" in row]
        assert kind == "images/separated"
        assert list((folders[steps // 2 - 1] / "files" / "media").rglob("*.png"))
        (artifact,) = [a for a in artifacts if a.type == "model"]
        assert [entry.path for entry in artifact.manifest.contents] == ["model.safetensors"]
        assert json.loads(artifact.metadata)["steps"] == steps


@pytest.mark.parametrize("model", ["ddpm", "improved_ddpm"])  # which logs more, by Lightning
def test_every_tracker_has_one_row_a_step_with_validation_and_picture(
    config, tmp_path, monkeypatch, model
):
    monkeypatch.setenv("WANDB_SILENT", "true")
    settings = [f"model={model}", "logger=wandb", "trainer.limit_val_batches=1"]
    settings += [f"callbacks.{x}.every_n_steps=4" for x in ("sample_grid", "training_state")]
    settings.append("trainer.val_check_interval=4")
    cfg = config(tmp_path, "trainer.max_steps=10", *settings)
    name, group = f"digits-{model}-seed0", f"digits-{model}"
    assert (cfg.logger.wandb.name, cfg.logger.wandb.group) == (name, group)
    train(cfg)
    train(config(tmp_path, "trainer.max_steps=14", *settings, "ckpt_path=last"))
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    histories = [offline_run(folder)[2] for folder in folders]
    rows = [row for history in histories for row in history]
    steps = [1, 3, 5, 7, 9, 11, 13]
    assert [len(history) for history in histories] == [5, 2]
    assert [row["_step"] for row in rows] == [row["trainer/global_step"] for row in rows] == steps
    assert all("train/loss" in row and "train/learning_rate" in row for row in rows)
    marked = [3, 7, 9, 11, 13]  # every four steps, and at both ends
    assert [row["_step"] for row in rows if "validation/loss" in row] == marked
    assert [row["_step"] for row in rows if "samples/captions" in row] == marked
    with (tmp_path / "metrics.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [int(row["step"]) for row in written] == steps
    for ours, theirs in zip(written, rows, strict=True):
        assert float(ours["train/loss"]) == theirs["train/loss"]
        assert float(ours["validation/loss"] or 0) == theirs.get("validation/loss", 0)


def test_a_new_training_in_the_same_folder_is_a_new_wandb_run(config, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    ids = []
    for _ in range(2):
        train(
            config(
                tmp_path / "run",
                "trainer.max_steps=1",
                "logger=wandb",
                "logger.wandb.mode=disabled",
            )
        )
        ids.append((tmp_path / "run" / "wandb_id.txt").read_text())
    assert ids[0] != ids[1]


def test_tensorboard_has_curves_and_pictures(config, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(config(tmp_path, "trainer.max_steps=2", "logger=tensorboard"))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert "train/loss" in events.Tags()["scalars"]
    assert "samples" in events.Tags()["images"]
    assert (tmp_path / "metrics.csv").exists()
