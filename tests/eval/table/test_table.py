from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace

import pytest

from eval.report.text import to_csv, to_markdown
from eval.result.record import Budget, Environment, Protocol
from eval.result.subject import GuidingNetwork, Subject
from eval.table.table import compare, mismatches
from zoo.command.overrides import bracketed


def _another(value):
    """A value of the same kind that differs."""
    if value is None:
        return "recorded"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "'"
    if isinstance(value, list):
        return [*value, 1]
    return {name: _another(item) for name, item in value.items()} or {"another": "one"}


def _fields(**sides):
    """Every field of some dataclasses, so that a new one is covered without a word here."""
    return [(side, f.name) for side, kind in sides.items() for f in fields(kind)]


@pytest.mark.parametrize(("side", "field"), _fields(protocol=Protocol, budget=Budget))
def test_each_mutated_field_is_refused_and_named(make_result, side, field):
    first, second = make_result("ddpm"), make_result("improved_ddpm")
    record = getattr(second, side)
    changed = replace(record, **{field: _another(getattr(record, field))})
    second = replace(second, **{side: changed})
    with pytest.raises(ValueError, match="cannot be compared") as refused:
        compare([first, second])
    message = str(refused.value)
    named = set(re.findall(r"(protocol|budget)\.(\w+)", message))
    assert named == {(side, field)}
    assert re.search("for improved_ddpm but .* for ddpm", message)

    forced = compare([first, second], force=True)
    assert {(d.field.split(".")[0], d.field.split(".")[1]) for d in forced.mismatches} == named
    for mismatch in forced.mismatches:
        assert str(mismatch) in to_csv(forced).replace('""', '"')
        assert str(mismatch) in to_markdown(forced, "t", "c")


@pytest.mark.parametrize("field", ["extractors", "resize", "metrics"])
def test_each_entry_of_a_named_record_is_refused_by_its_own_name(make_result, field):
    first, second = make_result("ddpm"), make_result("improved_ddpm")
    for key, value in getattr(first.protocol, field).items():
        for changed in ({key: value + "'"}, {f"{key}_2": value}):
            record = {**getattr(second.protocol, field), **changed}
            other = replace(second, protocol=replace(second.protocol, **{field: record}))
            named = {mismatch.field for mismatch in mismatches([first, other])}
            assert named == {f"protocol.{field}.{name}" for name in changed}
        fewer = {k: v for k, v in getattr(second.protocol, field).items() if k != key}
        other = replace(second, protocol=replace(second.protocol, **{field: fewer}))
        with pytest.raises(
            ValueError, match=f"protocol.{field}.{key} is not recorded for improved"
        ):
            compare([first, other])


@pytest.mark.parametrize(("side", "field"), _fields(subject=Subject, environment=Environment))
def test_subject_and_environment_may_differ(make_result, side, field):
    first, second = make_result("ddpm"), make_result("improved_ddpm", latent=True)
    record = getattr(second, side)
    value = getattr(record, field)
    if is_dataclass(value):
        another = replace(value, sha256="99" * 32)
    elif field == "guided_by":
        another = [GuidingNetwork("classifier", "C", "ab", 3, 1.0)]
    else:
        another = _another(value)
    second = replace(second, **{side: replace(record, **{field: another})})
    table = compare([first, second])
    assert not table.mismatches
    warned = any(f": {field}" in warning for warning in table.warnings)
    assert warned == (side == "environment" and field not in ("time", "peak_memory_bytes"))


def test_unrecorded_differs_from_recorded_but_not_from_unrecorded(make_result):
    unknown = replace(make_result().budget, images_seen=None)
    first = replace(make_result("ddpm"), budget=unknown)
    second = replace(make_result("improved_ddpm"), budget=unknown)
    assert not compare([first, second]).mismatches
    with pytest.raises(ValueError, match=r"images_seen is 320000 for .* but not recorded for ddpm"):
        compare([first, make_result("improved_ddpm")])


def test_a_row_of_which_nothing_is_recorded_is_marked_and_warned_about(make_result):
    recorded, other = make_result("ddpm"), make_result("improved_ddpm")
    published = replace(make_result("published"), budget=Budget())
    for results in ([published, recorded, other], [recorded, published, other]):
        table = compare(results)
        assert not table.mismatches and not table.one_budget
        assert table.budget["images_seen"] == 320_000
        (warning,) = table.warnings
        assert "nothing is recorded of the training of published" in warning
        notes = {name: cells[0].note for name, cells in table.rows}
        assert notes == {"ddpm": "", "improved_ddpm": "", "published": "training not recorded"}
        assert table.columns[0].note == "EMA"  # of all rows
    longer = replace(other, budget=replace(other.budget, images_seen=1))
    with pytest.raises(ValueError, match="images_seen is 1 for improved_ddpm but 320000 for ddpm"):
        compare([published, recorded, longer])
    assert compare([recorded, other]).one_budget
    assert not compare([recorded, longer], force=True).one_budget


def test_subject_may_differ_and_environment_is_warned_about(make_result):
    first, second = make_result("ddpm"), make_result("guided_latent_diffusion", latent=True)
    assert compare([first, second]).warnings == []
    elsewhere = replace(second.environment, machine="arm64", time="2026-01-01T00:00:00+00:00")
    (warning,) = compare([first, replace(second, environment=elsewhere)]).warnings
    assert "machine (ddpm: x86_64, 2 cores, guided_latent_diffusion: arm64)" in warning


def test_two_autoencoders_and_raw_weights_are_warned_about(make_result):
    first = make_result("latent_diffusion", latent=True)
    second = make_result("guided_latent_diffusion", latent=True)
    other = replace(second.subject.first_stage, sha256="99" * 32)
    subject = replace(second.subject, first_stage=other, weights="raw")
    warnings = compare([first, replace(second, subject=subject)]).warnings
    assert any("different autoencoders" in warning for warning in warnings)
    assert any("averaged and raw weights" in warning for warning in warnings)


def test_the_autoencoders_cost_is_added(make_result):
    table = compare([make_result("ddpm"), make_result("latent_diffusion", latent=True)])
    keys = [column.key for column in table.columns]
    pixel, latent = (dict(zip(keys, cells, strict=True)) for _, cells in table.rows)
    assert latent["parameters"].value - pixel["parameters"].value == 210_000
    assert latent["images_seen"].value - pixel["images_seen"].value == 160_000
    assert latent["training_seconds"].value - pixel["training_seconds"].value == 84.0
    assert latent["images_seen"].note == "autoencoder: 160 k"


def test_a_missing_value_is_a_dash(make_result):
    without = make_result("unconditional")
    values = {k: v for k, v in without.values.items() if not k.startswith("clip")}
    table = compare([make_result("ddpm"), replace(without, values=values)])
    index = [column.key for column in table.columns].index("clip_score_small_clip")
    assert table.rows[1][1][index].text == "–"
    assert table.rows[1][1][index].value is None


def test_results_of_earlier_versions_read_like_those_of_today(make_result, earlier):
    table, today = compare([earlier("a"), earlier("b")]), compare([make_result("a")])
    assert [column.title for column in table.columns] == [c.title for c in today.columns]
    assert table.rows[0][1] == today.rows[0][1]
    for results in ([make_result("a"), earlier("b")], [earlier("a"), make_result("b")]):
        mixed = compare(results)
        assert [column.title for column in mixed.columns] == [c.title for c in today.columns]
        assert not {verdict.metric for verdict in mixed.verdicts} & {"images_per_second"}


def test_nothing_and_two_of_one_name_are_refused(make_result):
    with pytest.raises(ValueError, match="no results"):
        compare([])
    with pytest.raises(ValueError, match="two results are called ddpm"):
        compare([make_result(), make_result()])


@pytest.mark.parametrize(
    ("argument", "bracketed_argument"),
    [
        ("train_seeds=0,1,2", "train_seeds=[0,1,2]"),
        ("train_seeds=7", "train_seeds=[7]"),
        ("train_seeds=[0,1]", "train_seeds=[0,1]"),
        ("train_seeds=null", "train_seeds=null"),
        ("models=ddpm,improved_ddpm", "models=[ddpm,improved_ddpm]"),
        ("models=${mine}", "models=${mine}"),
        ("sampler.num_steps=5", "sampler.num_steps=5"),
    ],
)
def test_a_bare_comma_list_is_a_list(argument, bracketed_argument):
    assert bracketed(["experiment=digits", argument], ["train_seeds", "models"]) == [
        "experiment=digits",
        bracketed_argument,
    ]
    assert bracketed([argument, "-m"], ["train_seeds", "models"]) == [argument, "-m"]
