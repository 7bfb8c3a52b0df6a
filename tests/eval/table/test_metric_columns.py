from __future__ import annotations

from dataclasses import replace

from eval.table.metric_columns import columns_of


def cells(results, key):
    (column,) = [column for column in columns_of(results) if column.key == key]
    return [column.cell(result) for result in results]


def change(result, name, **changes):
    value = replace(result.values[name], **changes)
    return replace(result, values={**result.values, name: value})


def test_a_column_exists_if_any_row_has_something_for_it(make_result):
    plain, sure = make_result("a"), change(make_result("b"), "fid_small_360", interval=[4.0, 4.5])
    low, high = (cells([plain, sure], f"fid_small_360_{end}") for end in ("low", "high"))
    assert [cell.value for cell in low] == [None, 4.0]
    assert [cell.value for cell in high] == [None, 4.5]
    assert "fid_small_360_low" not in [column.key for column in columns_of([plain])]


def test_what_cannot_be_estimated_has_a_column_that_says_so(make_result):
    few = change(make_result("a"), "fid_small_1000", detail={"dimensions": 2048.0})
    (cell,) = cells([few], "fid_small_1000_corrected")
    assert (cell.value, cell.note) == (None, "not estimable at this count")


def test_a_metric_that_no_row_has_says_why(make_result):
    result = replace(make_result("a"), absent={"fid_infinity_small": "too few images"})
    (cell,) = cells([result], "fid_infinity_small")
    assert (cell.value, cell.text, cell.note) == (None, "–", "too few images")


def test_images_of_unknown_making_have_no_size_and_no_sampler(make_result):
    result = make_result("folder")
    subject = replace(
        result.subject, model="images", parameters=0, flops_per_evaluation=0, sampler=None,
        grid=None, num_steps=0, network_evaluations=0.0, guidance=None, training_seconds=None,
    )  # fmt: skip
    result = replace(result, subject=subject)
    for key in ("parameters", "flops_per_evaluation", "network_evaluations", "sampler", "guidance"):
        (cell,) = cells([result], key)
        assert cell.text == "–" and cell.value in (None, "–"), key


def test_columns_of_cost_are_separate_from_those_of_quality(make_result):
    by_key = {column.key: column for column in columns_of([make_result("a")])}
    assert by_key["images_per_second"].of_cost and by_key["parameters"].of_cost
    assert not by_key["fid_small_360"].of_cost and not by_key["network_evaluations"].of_cost
    assert all(by_key[key].definition for key in by_key)


def test_a_metric_of_a_section_has_no_column_on_the_page(make_result):
    by_key = {column.key: column for column in columns_of([make_result("a")])}
    nearest = by_key["nearest_training_image"]
    assert nearest.in_section and not nearest.on_page and not nearest.of_cost
    assert not by_key["fid_small_360"].in_section and by_key["fid_small_360"].on_page
    assert nearest.title == "nearest training image"
