"""Labels and captions in columns: every type of cell, alike in all files."""

from __future__ import annotations

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from zoo.data import ImageSet, Parquet
from zoo.data.source.values import captions, labels


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([2, 0, 10], [2, 0, 10]),
        ([2.0, 0.0, 10.0], [2, 0, 10]),
        (["2", "0", "10"], [2, 0, 10]),
        (["2.0", " 0.", "1.0e1"], [2, 0, 10]),
        (["007", "+1", 3], [7, 1, 3]),
        ([np.int64(3), np.float32(1), 0], [3, 1, 0]),
        (["cat ", "dog", b"ant"], ["cat", "dog", "ant"]),
        (["A", "1", "None"], ["A", "1", "None"]),  # letters and digits; a class of nothing
        (["none", "crack"], ["none", "crack"]),
        (["none", "none"], ["none", "none"]),
        (["1.5", "xl"], ["1.5", "xl"]),
        (["cafe\u0301", "café"], ["café", "café"]),
    ],
)
def test_labels(column, expected):
    found = labels(column, lambda i: f"row {i}", "label")
    assert found == expected
    assert {type(value) for value in found} <= {int, str}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([0, None], "row 1: column 'label' is empty"),
        ([0.0, float("nan")], "row 1: column 'label' is empty"),
        ([0, np.float64("nan")], "row 1: column 'label' is empty"),
        (["0", ""], "row 1: column 'label' is empty"),
        (["0.0", "nan"], "row 1: column 'label' is empty"),
        (["0", "N/A"], "row 1: column 'label' is empty"),
        (["1.0", "2.0", "?"], r"row 2: .*has '\?'"),
        ([0, 1700000000], r"row 1: .*below 1,000,000.* has 1700000000"),
        (["0", "1e99"], "row 1: .*has '1e99'"),
        (["0", "9" * 400], "row 1: .*has '9999"),
        ([0, 10**400], "row 1: .*has 1000"),
        (["cat", " "], "row 1: column 'label' is empty"),
        (["cat", None], "row 1: column 'label' is empty"),
        ([0, 1.5], r"row 1: .*integers from 0 .*'label' has 1\.5"),
        (["0", "1.5"], r"row 1: .*integers from 0 .*has '1\.5'"),
        ([0, -1], "row 1: .*has -1"),
        (["0", "-1"], "row 1: .*has '-1'"),
        ([0, float("inf")], "row 1: .*has inf"),
        ([0, True], "row 1: .*has True"),
        ([0, "cat"], "row 1: .*has 'cat'"),
        ([0, [1]], r"row 1: .*has \[1\]"),
        (["cat", {"a": 1}], "row 0: .*has 'cat'"),
    ],
)
def test_labels_that_are_none_are_named_by_their_row(column, message):
    with pytest.raises(ValueError, match=message):
        labels(column, lambda i: f"row {i}", "label")


def test_captions_from_other_libraries():
    found = captions([np.array(["a", "b"]), b"c\xc3\xa9", ("d",)], str, "text")
    assert found == [("a", "b"), "cé", "d"]
    with pytest.raises(ValueError, match="0: column 'text' is no valid UTF-8"):
        captions([b"\xff"], str, "text")


def test_several_captions_change_the_fingerprint_and_one_in_a_list_does_not():
    images = torch.zeros(1, 1, 2, 2).byte()
    prints = [ImageSet(images, None, c).fingerprint for c in (["a"], [("a",)], [("a", "b")])]
    assert len({prints[0], prints[2]}) == 2
    assert ImageSet(images, None, [("a", "b")]).captions == ["a"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [0, None]}, "row 1: column 'label' is empty"),
        ({"label": [0.0, float("nan")]}, "row 1: column 'label' is empty"),
        ({"label": [0.0, 0.5]}, r"row 1: labels are integers from 0.* has 0\.5"),
        ({"text": ["a", ""]}, "row 1: column 'text' is empty"),
        ({"text": [1, 2]}, "row 0: a caption is a sentence"),
        ({"text": [["a"], []]}, "row 1: column 'text' is empty"),
    ],
)
def test_columns_of_parquet_files_obey_the_same_rules(columns, message, tmp_path, png):
    table = pyarrow.table({"image": [png(0), png(1)], **columns})
    parquet.write_table(table, tmp_path / "a.parquet")
    names = {f"{'label' if name == 'label' else 'caption'}_column": name for name in columns}
    with pytest.raises(ValueError, match=rf"a\.parquet, {message}"):
        Parquet(str(tmp_path / "a.parquet"), name="x", image_size=8, **names).setup()


def test_parquet_has_float_labels_and_lists_of_captions(tmp_path, png):
    table = pyarrow.table(
        {"image": [png(i) for i in range(4)], "label": [0.0, 1.0] * 2, "text": [["a", "b"]] * 4}
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    made = Parquet(
        str(tmp_path / "a.parquet"), name="x", image_size=8, test_fraction=0.5,
        label_column="label", caption_column="text",
    )  # fmt: skip
    made.setup()
    assert made.class_names == ("0", "1") and made.train.alternatives == [("a", "b")] * 2
