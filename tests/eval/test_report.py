from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch

from eval import report
from eval.compare import compare
from eval.page import page
from eval.picture import curves_svg, png, tile

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
    rows = list(csv.DictReader(io.StringIO(report.to_csv(table))))
    assert [row["model"] for row in rows] == list(NAMES)
    assert [float(row["fid_small_360"]) for row in rows] == [4.0, 5.0, 6.0, 7.0]
    assert rows[0]["fid_small_1000"] == repr(4.0 * 0.6)
    assert rows[0]["clip_score_small_clip_ceiling"] == "33.0"
    assert rows[3]["network_evaluations"] == "100.0"


def test_markdown_is_one_table_that_nothing_breaks_out_of(results):
    evil = replace(results[0].subject, name="a|b<script>\n")
    text = report.to_markdown(compare([replace(results[0], subject=evil), *results[1:]]), "t", "c")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert len(lines) == 6
    assert len(bars) == 1
    assert "<script" not in text


class _Links(HTMLParser):
    """Every tag and every attribute that loads something."""

    def __init__(self) -> None:
        super().__init__()
        self.loads, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [v for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]


def test_the_page_needs_nothing_but_itself(results, samples):
    text = page(compare(results), results, samples, "Title", "zoo compare")
    links = _Links()
    links.feed(text)
    assert links.loads
    assert all(load.startswith(("data:image/png;", "#")) for load in links.loads)
    assert not {"link", "iframe", "object", "embed", "base"} & set(links.tags)
    assert not re.search(r"https?://|@import|url\(", text)
    assert links.tags.count("img") == 5


def test_the_page_escapes_whatever_it_is_given(results, samples):
    evil = '"><img src=x onerror=alert(1)>'
    subject = replace(results[0].subject, name=evil, sampler=evil, guidance=evil)
    environment = replace(results[0].environment, machine=evil)
    first = replace(results[0], subject=subject, environment=environment, provenance={evil: evil})
    table = compare([first, *results[1:]])
    text = page(table, [first, *results[1:]], {evil: samples["real"]}, evil, evil)
    links = _Links()
    links.feed(text)
    assert links.tags.count("img") == 1
    assert "onerror=alert(1)>" not in text


def test_forced_differences_stand_on_the_page(results):
    other = replace(results[1], budget=replace(results[1].budget, seed=7))
    table = compare([results[0], other], force=True)
    text = page(table, [results[0], other], {}, "t", "c")
    assert "budget.seed is 7 for improved_ddpm but 0 for ddpm" in text
    assert '<tr class="differs">' in text


def test_unrecorded_curves_say_so(make_result):
    results = [make_result("ddpm")]
    assert "Not recorded: ddpm." in page(compare(results), results, {}, "t", "c")
    assert curves_svg({"ddpm": []}) == ""


def test_all_files_are_written(results, samples, tmp_path):
    written = report.write(tmp_path / "out", compare(results), results, samples, "Title", "zoo")
    assert set(written) == {"results.csv", "results.md", "report.html", "comparison.png"}
    from PIL import Image

    with Image.open(written["comparison.png"]) as image:
        assert image.width > 1000


def test_a_tile_holds_every_image_in_its_place():
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 2, 2)
    sheet = tile(images, columns=3)
    assert sheet.shape == (5, 8, 4)
    assert [int(sheet[3 * (i // 3), 3 * (i % 3), 0]) for i in range(5)] == [0, 1, 2, 3, 4]
    assert int(sheet[4, 7, 3]) == 0  # the sixth place is empty: transparent


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")
def test_the_page_sorts_in_a_browser(results, samples, tmp_path):
    text = page(compare(results), results, samples, "Title", "zoo compare")
    click = (
        "<script>for (const b of document.querySelectorAll('table.sortable th button'))"
        " if (b.textContent.startsWith('FID\u2011360')) { b.click(); b.click(); }</script>"
    )
    path = tmp_path / "report.html"
    path.write_text(text.replace("</body>", click + "</body>"))
    arguments = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run([CHROMIUM, *arguments], capture_output=True, text=True, timeout=60)
    rows = re.findall(r'<th scope="row" data-key="(\w+)"', done.stdout)
    assert rows[:4] == list(reversed(NAMES))  # twice clicked: descending
    assert 'aria-sort="descending"' in done.stdout


def test_page_and_markdown_say_which_differences_are_more_than_chance(results, samples):
    def measured(result, centre):
        blocks = [centre + 0.01 * k for k in range(10)]
        value = replace(
            result.values["fid_small_1000"],
            value=centre, blocks=blocks, interval=[centre - 0.02, centre + 0.02],
        )  # fmt: skip
        return replace(result, values={**result.values, "fid_small_1000": value})

    rows = [measured(result, centre) for result, centre in zip(results, (2, 2, 3, 4), strict=True)]
    table = compare(rows)
    markdown, text = (
        report.to_markdown(table, "t", "c"),
        page(table, rows, samples, "t", "c"),
    )
    for written in (markdown, text):
        assert "ddpm is better than latent_diffusion by 1 (p" in written
        assert "ddpm and improved_ddpm are not distinguishable (p = 1)" in written
        assert "Said of these weights" in written
    assert "95 %: 1.98 to 2.02" in markdown
    assert 'href="#verdicts"' in text
    assert "verdicts" not in page(compare(results), results, samples, "t", "c")
