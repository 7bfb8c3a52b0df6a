"""What stands in the report page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from eval.report.page import page
from eval.table.table import compare


class Loads(HTMLParser):
    """Every tag, every identifier, and every attribute that loads something."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.tags, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [v for k, v in attrs if k == "id"]
        self.loads += [v for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]


def test_the_page_needs_nothing_but_itself(results, samples, pairs):
    text = page(compare(results), results, samples, "Title", "zoo compare", pairs)
    found = Loads(text)
    assert found.loads
    assert all(load.startswith(("data:image/png;", "#")) for load in found.loads)
    assert not {"link", "iframe", "object", "embed", "base"} & set(found.tags)
    assert not re.search(r"https?://|@import|url\(", text)
    assert found.tags.count("img") == 9  # real images, and two sheets for each of four models
    assert len(found.ids) == len(set(found.ids))
    for anchor in (load for load in found.loads if load.startswith("#")):
        assert f'id="{anchor[1:]}"' in text


def test_the_page_escapes_every_text(results, samples):
    evil = '"><img src=x onerror=alert(1)>'
    subject = replace(results[0].subject, name=evil, sampler=evil, guidance=evil)
    environment = replace(results[0].environment, machine=evil)
    values = {
        name: replace(value, definition=evil, extractor=evil)
        for name, value in results[0].values.items()
    }
    first = replace(
        results[0], subject=subject, environment=environment, values=values,
        provenance={evil: evil}, absent={"bits_per_dim": evil},
    )  # fmt: skip
    rows = [first, *results[1:]]
    sheet = {evil: samples["real"]}
    found = Loads(page(compare(rows), rows, sheet, evil, evil, sheet))
    assert found.tags.count("img") == 2
    assert "script" in found.tags and found.tags.count("script") == 1


def test_forced_rows_are_marked_and_none_is_the_best(results):
    other = replace(results[1], budget=replace(results[1].budget, seed=7))
    rows = [results[0], other]
    text = page(compare(rows, force=True), rows, {}, "t", "c")
    assert "budget.seed is 7 for improved_ddpm but 0 for ddpm" in text
    assert text.count('<tr class="differs">') == 2  # how good it is, what it costs
    assert 'class="best"' not in text
    assert 'class="best"' in page(compare(results), results, {}, "t", "c")


def test_what_was_not_recorded_is_said(make_result):
    results = [make_result("ddpm")]
    text = page(compare(results), results, {}, "t", "c")
    assert "Not recorded: ddpm." in text
    assert "1 model<" in text
    assert 'id="verdicts"' not in text


def test_too_few_images_for_the_features_are_warned_of(results, sure):
    rows = [sure(r, 2.0 + i, detail={"dimensions": 2048.0}) for i, r in enumerate(results)]
    text = page(compare(rows), rows, {}, "t", "c")
    assert "FID-1000 (small) is of 1,000 images with 2,048 dimensions" in text
    assert "no more images than its 2,048 dimensions" in text
    assert "not estimable at this count" in text
    plain = page(compare(results), results, {}, "t", "c")
    assert "dimensions" not in plain.split("<summary>Record of")[0]


def test_results_of_earlier_versions_have_a_page(earlier, samples):
    results = [earlier("a"), earlier("b")]
    text = page(compare(results), results, samples, "t", "c")
    assert "FID-1000 (small)" in text and "nearest training image" in text
    assert "4.20" in text and "123" in text and "noise floor" in text


def test_protocol_and_records_are_folded_away(results):
    text = page(compare(results), results, {}, "t", "c")
    for within in ("<summary>Protocol</summary>", "<summary>Record of ddpm</summary>"):
        assert f"<details>{within}" in text
    assert "<details open" not in text
    fingerprint = results[0].protocol.data_fingerprint
    assert fingerprint in text.split("<summary>Record of ddpm</summary>")[1]


def test_methods_are_never_said_of_weights_nor_weights_of_methods(results, make_result, sure):
    weights = page(compare(results), results, {}, "t", "c").split("<summary>Record of")[0]
    assert "these weights: worse than ddpm by 1" in weights
    assert "About these weights" in weights and "the method:" not in weights
    assert 'class="training"' not in weights
    rows = [
        sure(make_result(name), centre, trainings=[centre - 0.1, centre, centre + 0.1])
        for name, centre in (("a", 2.0), ("b", 4.0))
    ]
    methods = page(compare(rows), rows, {}, "t", "c").split("<summary>Record of")[0]
    assert "the method: worse than a by 2" in methods and "About the methods" in methods
    assert "these weights" not in methods
    assert "mean of 3 trainings" in methods
    assert methods.count('class="training"') == 6


def test_records_are_tables_and_dates_are_for_people(results):
    text = page(compare(results), results, {}, "t", "c")
    assert "<li>20 November 2025, 12:00 UTC</li>" in text.replace("\n", "")
    assert "<pre" not in text and "{&#34;" not in text
    record = text.split("<summary>Record of ddpm</summary>")[1].split("</details>")[0]
    for within in (
        '<tr><th scope="row">FID-1000 (small)</th>', "<dt>weights sha256</dt><dd>" + "34" * 32,
        "<h3>environment</h3>", "<dt>versions.torch</dt><dd>2.15.0</dd>", "1.98 to 2.02",
        "20 November 2025, 12:00 UTC (2025-11-20T12:00:00+00:00)",
    ):  # fmt: skip
        assert within in record, within
    assert repr(results[0].values["fid_small_360"].value) in record  # unrounded
    assert "history" not in record


def test_the_floor_stands_once_in_the_head_and_where_counts_are_equal(results):
    text = page(compare(results), results, {}, "t", "c")
    table = text.partition("<tbody>")
    assert table[0].count("floor 2.50") == 1 and "floor" not in table[2].partition("</tbody>")[0]
    assert "2.00 ± 0.02" in table[2] or "2.000 ± 0.020" in table[2]
