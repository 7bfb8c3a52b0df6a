from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from eval.report.picture import pair_sheets, png, tile
from eval.report.wandb_run import log_to_wandb, results_table, values_table, verdicts_table
from eval.table.table import compare


@pytest.fixture
def results(make_result):
    rows = []
    for turn, (name, centre) in enumerate((("ddpm", 2.0), ("other", 3.0))):
        result = make_result(name)
        blocks = [centre + 0.01 * (((2 * turn + 1) * k) % 10 - 4.5) for k in range(10)]
        value = replace(
            result.values["fid_small_1000"],
            value=centre, blocks=blocks, interval=[centre - 0.1, centre + 0.1],
        )  # fmt: skip
        rows.append(replace(result, values={**result.values, "fid_small_1000": value}))
    return rows


def as_dicts(heads, rows):
    return [dict(zip(heads, row, strict=True)) for row in rows]


def test_tables_hold_numbers(results):
    first, _ = as_dicts(*results_table(compare(results)))
    assert first["model"] == "ddpm" and first["fid_small_1000"] == 2.0
    assert first["fid_small_1000_low"] == 1.9
    values = as_dicts(*values_table(results))
    (fid,) = [v for v in values if v["model"] == "other" and v["metric"] == "fid_small_1000"]
    assert (fid["title"], fid["low"], fid["high"]) == ("FID-1000 (small)", 2.9, 3.1)
    assert fid["corrected"] is None and fid["floor"] == 2.5
    (verdict,) = as_dicts(*verdicts_table(compare(results)))
    assert (verdict["first"], verdict["second"], verdict["said"]) == ("ddpm", "other", "better")
    assert verdict["difference"] == -1.0 and verdict["adjusted_p"] < 0.001


def test_one_offline_run_holds_tables_images_and_numbers(results, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    from zoo.logger.wandb import wandb_logger

    images = torch.randint(256, (8, 2, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    samples = {name: png(tile(images[:, 0].byte(), 4)) for name in ("real", "ddpm", "other")}
    pairs = pair_sheets({"ddpm": images.byte()})
    logger = wandb_logger(tmp_path)
    log_to_wandb(logger, {"seed": 0}, compare(results), results, samples, pairs)

    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    media = run / "files" / "media"
    tables = {file.name.partition("_0_")[0]: file for file in media.rglob("*.table.json")}
    assert set(tables) == {"results", "values", "verdicts"}
    written = {name: json.loads(file.read_text()) for name, file in tables.items()}
    assert as_dicts(written["results"]["columns"], written["results"]["data"])[1][
        "fid_small_1000_high"
    ] == pytest.approx(3.1)
    assert len(written["values"]["data"]) == sum(len(result.values) for result in results)
    assert written["verdicts"]["data"][0][-1] == "better"
    pictures = {file.relative_to(media / "images").as_posix() for file in media.rglob("*.png")}
    assert {picture.partition("_")[0] for picture in pictures} == {
        "samples/real", "samples/ddpm", "samples/other", "nearest/ddpm",
    }  # fmt: skip
    (real,) = media.rglob("real_*.png")
    with Image.open(real) as sheet:
        assert sheet.convert("RGB").getpixel((16, 0)) == (255, 255, 255)  # a transparent gap
