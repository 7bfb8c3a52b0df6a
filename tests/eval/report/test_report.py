from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest
import torch

from eval.report.page import page
from eval.report.picture import fitted, pair_sheets, png, size, tile
from eval.report.text import to_csv, to_markdown
from eval.report.write import write_report
from eval.table.table import compare

FILES = {"results.csv", "results.md", "results.tex", "report.html", "comparison.png"}
NAMES = ("ddpm", "improved_ddpm", "latent_diffusion", "guided_latent_diffusion")


@pytest.fixture
def results(make_result):
    history = [[step, 1.0 / step] for step in range(1, 400)]
    return [
        make_result(name, 4.0 + i, "latent" in name, history=history)
        for i, name in enumerate(NAMES)
    ]


@pytest.fixture
def samples():
    images = torch.randint(256, (20, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    return {name: png(tile(images.byte(), 10)) for name in ("real", *NAMES)}


def test_the_csv_is_read_back_unrounded(results):
    table = compare(results)
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [row["model"] for row in rows] == list(NAMES)
    assert [float(row["fid_small_360"]) for row in rows] == [4.0, 5.0, 6.0, 7.0]
    assert rows[0]["fid_small_1000"] == repr(4.0 * 0.6)
    assert rows[0]["clip_score_small_clip_ceiling"] == "33.0"
    assert rows[3]["network_evaluations"] == "100.0"


def test_the_csv_has_everything_a_number_is_read_beside(results):
    value = replace(
        results[0].values["fid_small_1000"],
        interval=[2.0, 2.8], standard_error=0.1, corrected=2.2, detail={"dimensions": 96.0},
    )  # fmt: skip
    few = replace(results[1].values["fid_small_1000"], detail={"dimensions": 2048.0})
    rows = [
        replace(r, values={**r.values, "fid_small_1000": v})
        for r, v in zip(results, (value, few), strict=False)
    ]
    first, second = csv.DictReader(io.StringIO(to_csv(compare(rows))))
    ends = ("low", "high", "standard_error", "corrected", "floor")
    assert [first[f"fid_small_1000_{end}"] for end in ends] == ["2.0", "2.8", "0.1", "2.2", "2.5"]
    assert [second[f"fid_small_1000_{end}"] for end in ends] == ["", "", "", "", "2.5"]


def cells(text, title):
    """A column of a Markdown table by the beginning of its head."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = next(row for row in table if any(cell.startswith(title) for cell in row))
    index = next(i for i, cell in enumerate(head) if cell.startswith(title))
    start = table.index(head)
    return [row[index] for row in table[start : start + 2 + len(NAMES)]]


def test_bold_are_the_best_and_those_level_with_it_where_another_is_behind(results, sure):
    rows = list(map(sure, results, (2, 2.001, 3, 4), (1, 3, 7, 9)))
    text = to_markdown(compare(rows), "t", "c")
    assert cells(text, "FID-1000")[2:] == [
        "**2.000 ± 0.020**", "**2.001 ± 0.020**", "3.000 ± 0.020", "4.000 ± 0.020",
    ]  # fmt: skip
    assert "Bold: the best number of a column, and every number that is not" in text
    level = list(map(sure, results, (2, 2.001, 2.002, 2.003), (1, 3, 7, 9)))
    for table in (compare(results), compare(level)):
        text = to_markdown(table, "t", "c")
        assert not re.search(r"^\|.*\*\*", text, re.MULTILINE)
        assert "Nothing is bold: no row is shown to be better" in text
    other = replace(rows[3], budget=replace(rows[3].budget, seed=7))
    forced = to_markdown(compare([rows[0], other], force=True), "t", "c")
    assert "**4.00" not in forced and "**2.00" not in forced and "budget.seed is 7" in forced


NUMBER = re.compile(r"[-\d.,]+( [kMGT])?( ± [\d.,]+)?|–|(\d+ (s|min|h) ?)+")


def test_a_cell_is_one_number_and_what_all_rows_share_is_in_the_head(results, sure):
    rows = list(map(sure, results, (2, 2.001, 3, 4), (1, 3, 7, 9)))
    text = to_markdown(compare(rows), "t", "c")
    for title in (
        "FID-360", "FID-1000", "CLIP score", "network evaluations", "parameters", "FLOPs",
        "images seen", "training time", "images/s",
    ):  # fmt: skip
        for cell in cells(text, title)[2:]:
            assert NUMBER.fullmatch(cell.strip("*")), (title, cell)
    assert cells(text, "FID-360")[0] == "FID-360 (small) ↓ (mean of 3 sets, floor 2.50)"
    assert cells(text, "FID-1000")[0] == "FID-1000 (small) ↓"  # its floor is of 360 images
    assert cells(text, "CLIP")[0] == "CLIP score (small_clip) ↑ (real 33.0, chance 9.50)"
    assert cells(text, "images/s")[0] == "images/s ↑ (on x86_64, 2 cores)"
    assert cells(text, "training time")[0] == "training time (Intel Xeon, 2 threads)"
    assert "floor 2.50" not in text.replace(cells(text, "FID-360")[0], "")


def test_speeds_of_several_machines_stand_beside_their_machines(results):
    away = replace(results[1], environment=replace(results[1].environment, machine="NVIDIA H200"))
    table = compare([results[0], away])
    text = to_markdown(table, "t", "c")
    assert "- improved_ddpm: images/s: on NVIDIA H200" in text
    assert "- ddpm: images/s: on x86_64, 2 cores" in text
    first, second = csv.DictReader(io.StringIO(to_csv(table)))
    assert (first["machine"], second["machine"]) == ("x86_64, 2 cores", "NVIDIA H200")
    assert first["training_device"] == "Intel(R) Xeon(R) Processor, 2 threads"


def test_why_a_model_can_lie_below_the_floor_is_said_where_one_does(results):
    def below(labels):
        rows = []
        for result in results:
            values = {
                **result.values,
                "fid_small_360": replace(result.values["fid_small_360"], value=2.0),
            }
            protocol = replace(result.protocol, labels=labels)
            rows.append(replace(result, values=values, protocol=protocol))
        return to_markdown(compare(rows), "t", "c").partition("## What each")[0]

    assert "A model can lie below the floor" not in to_markdown(compare(results), "t", "c")
    assert "below the floor: its labels are balanced" in below("balanced: image i has class i")
    assert "below the floor: the floor is of one set" in below("random: drawn")


def test_markdown_is_one_table_that_nothing_breaks_out_of(results):
    evil = replace(results[0].subject, name="a|b<script>\n")
    text = to_markdown(compare([replace(results[0], subject=evil), *results[1:]]), "t", "c")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert len(lines) == 12 and len(bars) == 2  # quality and cost
    assert "<script" not in text


def test_all_files_are_written(results, samples, tmp_path):
    written = write_report(tmp_path / "out", compare(results), results, samples, "Title", "zoo")
    assert set(written) == FILES
    from PIL import Image

    with Image.open(written["comparison.png"]) as image:
        assert image.width > 1000


def test_a_tile_holds_every_image_in_its_place():
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 2, 2)
    sheet = tile(images, columns=3)
    assert sheet.shape == (4, 5, 8)
    assert [int(sheet[0, 3 * (i // 3), 3 * (i % 3)]) for i in range(5)] == [0, 1, 2, 3, 4]
    assert int(sheet[3, 4, 7]) == 0  # the sixth place is empty: transparent


def test_pairs_lie_beside_each_other_and_further_apart_than_within():
    found = torch.arange(10, dtype=torch.uint8).reshape(5, 2, 1, 1, 1).expand(5, 2, 3, 2, 2)
    sheets = pair_sheets({"a": found, "none": found[:0]}, columns=4)
    assert list(sheets) == ["a"]
    from PIL import Image

    image = Image.open(io.BytesIO(sheets["a"]))
    assert image.size == size(sheets["a"]) == (4 * 5 + 3 * 4, 2 * 2 + 4)
    assert [image.getpixel((9 * k + 3 * side, 0))[0] for k in range(4) for side in (0, 1)] == [
        0, 1, 2, 3, 4, 5, 6, 7,
    ]  # fmt: skip
    assert image.getpixel((0, 6))[0] == 8 and image.getpixel((6, 0))[3] == 0


def test_only_what_is_too_wide_is_shrunk():
    wide = png(tile(torch.zeros(2, 3, 40, 500, dtype=torch.uint8), 2))
    assert size(wide) == (1001, 40)
    assert size(fitted(wide, 500)) == (500, 20)
    assert fitted(wide, 1001) is wide


def test_page_and_markdown_say_which_differences_are_more_than_chance(results, samples):
    def measured(result, centre, turn):  # blocks that waver in another order in every row
        blocks = [centre + 0.01 * ((turn * k) % 10 - 4.5) for k in range(10)]
        value = replace(
            result.values["fid_small_1000"],
            value=centre, blocks=blocks, interval=[centre - 0.02, centre + 0.02],
        )  # fmt: skip
        return replace(result, values={**result.values, "fid_small_1000": value})

    rows = list(map(measured, results, (2, 2, 3, 4), (1, 3, 7, 9)))
    table = compare(rows)
    markdown, text = (
        to_markdown(table, "t", "c"),
        page(table, rows, samples, "t", "c"),
    )
    for written in (markdown, text):
        assert "the weights of ddpm are better than those of latent_diffusion by 1 (p" in written
        assert "the weights of ddpm and of improved_ddpm are not distinguishable (p = 1)" in written
        assert "About these weights" in written
    assert "2.000 ± 0.020" in markdown
    assert 'href="#verdicts"' in text
    assert "verdicts" not in page(compare(results), results, samples, "t", "c")
