from __future__ import annotations

import json
import os
import re

import pytest

from eval.result.record import Result
from zoo.system.files import write_atomically


def test_json_round_trip(make_result, tmp_path):
    result = make_result("latent_diffusion", latent=True, history=[[1, 0.5]], command="zoo train")
    path = result.save(tmp_path / "deep" / "result.json")
    assert Result.load(path) == result
    assert json.loads(path.read_text())["schema"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("schema"), "no 'schema'"),
        (lambda r: r.update(schema=99), "schema 99; this version reads schema 1"),
        (lambda r: r["protocol"].pop("seed"), "here.protocol: field 'seed' is missing"),
        (lambda r: r["budget"].update(epochs=3), "here.budget: unknown field 'epochs'"),
        (lambda r: r["protocol"].update(seed="0"), "here.protocol.seed: expected int, got str '0'"),
        (lambda r: r["protocol"].update(seed=True), "here.protocol.seed: expected int, got bool"),
        (lambda r: r["protocol"]["fid_counts"].append(1.5), r"here.protocol.fid_counts\[2\]"),
        (lambda r: r["values"].update(fid=3.0), "here.values.fid: expected dict, got float"),
        (lambda r: r["subject"]["first_stage"].update(sha256=None), "first_stage.sha256: expected"),
        (
            lambda r: r["subject"]["first_stage"].update(x=1),
            "first_stage: unknown field 'x'; .*see",
        ),
        (lambda r: r["budget"].update(seed="0"), "budget.seed: expected list or int, got str '0'"),
        (lambda r: r["budget"].update(seed=["0"]), r"budget.seed\[0\]: expected int, got str '0'"),
        (lambda r: r["budget"].update(learning_rate=float("nan")), "here: .* not JSON compliant"),
    ],
)
def test_a_wrong_field_is_named(make_result, change, message):
    record = json.loads(make_result("latent_diffusion", latent=True).to_json())
    change(record)
    with pytest.raises(ValueError, match=message):
        Result.from_json(json.dumps(record), "here")


def test_an_int_does_for_a_float(make_result):
    record = json.loads(make_result().to_json())
    record["budget"]["learning_rate"] = 1
    rate = Result.from_json(json.dumps(record)).budget.learning_rate
    assert (rate, type(rate)) == (1.0, float)


def test_no_json_and_no_file(tmp_path):
    with pytest.raises(ValueError, match="here: not JSON"):
        Result.from_json("{", "here")
    with pytest.raises(ValueError, match="no result file at"):
        Result.load(tmp_path / "absent.json")


def test_a_number_that_is_not_finite_is_refused(make_result):
    with pytest.raises(ValueError, match=r"result of ddpm: .* finite"):
        make_result(fid=float("nan")).to_json()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "result.json", "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_wrong_field_of_an_earlier_record_is_named(make_result):
    record = json.loads(make_result().to_json())
    value = record["values"]["fid_small_360"]
    del value["title"]
    value["extractor"] = 5
    with pytest.raises(ValueError, match="result.values.fid_small_360.extractor"):
        Result.from_json(json.dumps(record))


CHANGES = {
    "a number": lambda text: re.sub(r'("value": )\d', r"\g<1>7", text, count=1),
    "a name": lambda text: text.replace("ddpm", "dppm", 1),
    "a field that is left out": lambda text: re.sub(r'\n    "blocks": \d+,', "", text, count=1),
    "a provenance that is added": lambda text: text.replace(
        '"provenance": {', '"provenance": {"seed": 1' + ", " * ('"provenance": {}' not in text)
    ),
    "the checksum": lambda text: re.sub(r'("sha256": "[0-9a-f]{63}).("\n\})', r"\1-\2", text),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_refused_in_one_line(tmp_path, make_result, change):
    path = make_result("ddpm").save(tmp_path / "result.json")
    text = path.read_text()
    edited = CHANGES[change](text)
    assert edited != text
    path.write_text(edited)
    with pytest.raises(
        ValueError, match=r"result.json: its checksum is wrong.*remove.*sha256"
    ) as e:
        Result.load(path)
    assert "\n" not in str(e.value)


def test_another_layout_and_files_without_a_checksum_are_read(tmp_path, make_result):
    result = make_result("ddpm")
    path = result.save(tmp_path / "result.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(record.items()))))
    assert Result.load(path) == result
    del record["sha256"]  # as earlier versions wrote it
    path.write_text(json.dumps(record))
    assert Result.load(path) == result


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match=r"result.json: not JSON: .*utf-8"):
        Result.load(path)
