from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from eval.papers import files
from eval.papers.judge import NOT_COMPARABLE, NOT_REPRODUCED, NOT_RUN, REPRODUCED, judge
from eval.papers.table import PaperRow, paper_table
from eval.study import evaluation, reproduction
from eval.study.reproduction import lacking, overrides, run
from zoo import cli, entry, paths
from zoo.checkpoint import published

DIGITS = "digits/latent_diffusion"


def measured(cfg):
    return evaluation.evaluation(cfg).result


@pytest.mark.slow
def test_the_zoos_own_table_is_reproduced_and_a_wrong_step_count_is_not(tmp_path: Path) -> None:
    table = paper_table("digits")
    outcomes = run(table.choose([]), [], tmp_path, measured)
    assert len(outcomes) == 9 and {one.verdict for one in outcomes} == {REPRODUCED}
    assert not [text for one in outcomes for text in one.unmatched]  # it states all there is
    for one in outcomes:
        low, high = one.value.interval or (one.value.value, one.paper)  # all right: no interval
        assert low <= one.paper <= high
        assert one.metric != "FID" or one.row.within("FID") < 0.01 * (high - low)

    (row,) = table.choose(["latent_diffusion"])
    fid, accuracy = run([row], ["sampler.num_steps=24"], tmp_path, measured)  # one step less
    assert fid.verdict == NOT_REPRODUCED and accuracy.metric == "class accuracy"
    assert fid.unmatched == ("network evaluations: 24 here, 25 in the table",)


def test_the_command_writes_the_comparison_and_exits_with_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["reproduce", "table=digits", "rows=[lat*]", f"run_dir={tmp_path}"]
    cli.main(asked)
    printed = capsys.readouterr().out
    text = (tmp_path / "reproduce.md").read_text()
    assert text in printed and "2 reproduced, 0 not reproduced" in text
    with (tmp_path / "reproduce.csv").open() as file:
        fid, accuracy = csv.DictReader(file)
    assert (fid["row"], fid["metric"], fid["verdict"]) == ("latent_diffusion", "FID", REPRODUCED)
    assert float(fid["low"]) < float(fid["ours"]) < float(fid["high"])
    assert float(fid["difference"]) == pytest.approx(float(fid["ours"]) - float(fid["paper"]))
    assert accuracy["metric"] == "class accuracy"

    with pytest.raises(SystemExit) as exit:
        cli.main([*asked, "sampler.num_steps=3"])
    assert exit.value.code == 1
    assert "network evaluations: 3 here, 25 in the table" in capsys.readouterr().out
    with pytest.raises(SystemExit):  # nothing could be measured
        cli.main([*asked, "num_images=1"])
    assert "num_images is a whole number from 2, got 1" in capsys.readouterr().out
    cli.main([*asked, "num_images=60", "fid_counts=[60]"])  # another count is no other verdict
    assert "counts differ: 60 images here, 180 in the table" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("table=ddim_tabel1", "there is no table 'ddim_tabel1'; did you mean 'ddim_table1' or"),
        ("table=null", "give table=..."),
        ("rows=[cifar10_eta9_*]", "digits has no row 'cifar10_eta9_*'"),
        ("rows=[dpm]", "digits has no row 'dpm'; did you mean 'ddpm'"),
        ("sampler.num_step=3", "unknown key 'sampler.num_step'"),
    ],
)
def test_mistakes_get_one_line(
    argument: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main(["reproduce", "table=digits", f"run_dir={tmp_path}", argument])
    error = capsys.readouterr().err
    assert exit.value.code == 2 and error.count("\n") == 1
    assert said in error
    assert not list(tmp_path.iterdir())


def row(**facts) -> PaperRow:
    stated = {"num_reference": 1437, "extractors.small": "ab" * 32}
    rest = {"measured_as": {"FID": "fid_small"}, "tolerance": {"FID": "5%"}, "stated": stated}
    return PaperRow(
        "row", {"FID": 4.0}, **{"images": 360, "weights": {"checkpoint": "a/b"}, **rest, **facts}
    )


@pytest.mark.parametrize(
    ("fid", "verdict"),
    [(4.0, REPRODUCED), (4.19, REPRODUCED), (3.81, REPRODUCED), (4.21, NOT_REPRODUCED)],
)
def test_the_tolerance_is_a_share_of_the_papers_number(make_result, fid, verdict) -> None:
    (one,) = judge(row(), make_result(fid=fid))
    assert one.verdict == verdict
    assert one.difference == pytest.approx(fid - 4.0)
    (absolute,) = judge(row(tolerance={"FID": 0.15}), make_result(fid=fid))
    assert (absolute.verdict == REPRODUCED) == (abs(fid - 4.0) <= 0.15)


def test_fid_is_taken_at_the_papers_count_or_not_compared(make_result) -> None:
    result = make_result(fid=4.0)
    assert judge(row(), result)[0].value is result.values["fid_small_360"]
    (one,) = judge(row(images=50_000), result)
    assert one.verdict == NOT_COMPARABLE and one.value is result.values["fid_small_1000"]
    assert one.why == "counts differ: 1,000 images here, 50,000 in the table"
    assert judge(row(images=None), result)[0].verdict == NOT_REPRODUCED  # 2.4, of 1,000


def test_what_cannot_be_had_is_not_run(make_result) -> None:
    numbers = {"FID": None, "IS": 9.0, "KID": 1.0}
    result = replace(make_result(), absent={"kid_small": "too few images"})
    kinds = {"FID": "fid_small", "KID": "kid_small"}
    none, score, kid = judge(replace(row(measured_as=kinds), numbers=numbers), result)
    assert (none.verdict, none.why) == (NOT_COMPARABLE, "the table has no number")
    assert (score.verdict, score.why) == (NOT_RUN, "the table names no value here for IS")
    assert (kid.verdict, kid.why) == (NOT_RUN, "too few images")
    (other,) = judge(row(measured_as={"FID": "fid_inception"}), result)
    assert other.verdict == NOT_COMPARABLE
    assert other.why.startswith("the table's FID is fid_inception; measured were fid_small_360,")


def test_what_was_not_matched_is_named(make_result) -> None:
    silent = ["the data's content", "the resize before the extractor", "the labels"]
    silent += ["the network's precision", "the seed"]
    quiet = f"not stated by the table: {', '.join(silent)}"
    assert judge(row(), make_result())[0].unmatched == (quiet,)
    differing = row(
        stated={"num_reference": 50000, "extractors.inception": "cd", "weights": "EMA"},
        resolution=32, evaluations=100, not_matched=["its labels"],
        weights={"checkpoint": "ddpm_cifar10"},
    )  # fmt: skip
    found = judge(differing, make_result(converted={"name": "ddpm_cat"}))[0].unmatched
    assert found[:5] == (
        "num_reference: 1,437 here, 50,000 in the table",
        "extractors.inception: nothing here, cd in the table",
        "resolution: 16 here, 32 in the table",
        "network evaluations: 50 here, 100 in the table",
        "weights: ddpm_cat here, ddpm_cifar10 in the table",
    )
    assert found[-1] == "its labels"
    right = make_result(converted={"name": "ddpm_cifar10"})
    assert not [text for text in judge(differing, right)[0].unmatched if "weights:" in text]


def test_missing_weights_say_where_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (asked,) = paper_table("adm_table4").choose(["adm_scale10"])
    why = lacking(asked, [], tmp_path / "mine")
    assert f"no adm_imagenet256.safetensors in {tmp_path}/mine, ., {tmp_path}/cache" in why
    assert published.entry("adm_imagenet256")["source"] in why
    assert "zoo convert name=adm_imagenet256 source=FILE out=" in why
    (tmp_path / "adm_imagenet256.safetensors").touch()
    assert "no adm_classifier256.safetensors" in lacking(asked, [])
    assert lacking(asked, ["guidance.classifier=x.safetensors"]) == ""
    assert {one.why for one in run([asked], [], tmp_path, measured)} == {lacking(asked, [])}
    (none,) = paper_table("cdm_quoted").choose(["imagenet64"])
    assert lacking(none, []) == reproduction._NO_RECIPE


def test_a_users_overrides_replace_a_rows_own(tmp_path: Path) -> None:
    (asked,) = paper_table("ddim_table1").choose(["cifar10_eta0.5_20"])
    (tmp_path / "ddpm_cifar10.safetensors").touch()
    own = overrides(asked, [], tmp_path)
    assert {"sampler=ddim", "sampler.eta=0.5", "sampler.num_steps=20", "data=cifar10"} < set(own)
    assert own[-1] == f"checkpoint='{tmp_path}/ddpm_cifar10.safetensors'"
    given = ["sampler=heun", "checkpoint=mine", "num_images=10"]
    exchanged = overrides(asked, given, tmp_path)
    assert exchanged[-3:] == given
    assert not [o for o in exchanged if o.startswith(("sampler.", "sampler=ddim", "checkpoint='"))]
    cfg = entry.compose("evaluate", own)
    assert (cfg.sampler.eta, cfg.name, cfg.guidance.bounds) == (0.5, "cifar10_eta0.5_20", None)


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("ddim_table1", "cifar10_eta0.2_20"),
        ("ddim_table1", "cifar10_larger_1000"),
        ("adm_table5", "imagenet128_guided_ddim25"),
        ("adm_table16", "bedroom_250_swept"),
        ("ldm_table1", "churches"),
        ("ldm_table10", "ldm4_scale1.5"),
        ("improved_ddpm_table2", "vlb_cosine_4000_nll"),
        ("ldm_table8", "kl_f8_c4"),
    ],
)
def test_a_recipe_makes_the_papers_steps(table: str, name: str) -> None:
    from omegaconf import OmegaConf

    from zoo.command.parts import exchanged
    from zoo.convert.compvis.options import walk
    from zoo.sampler import Ancestral
    from zoo.schedule import Linear

    (asked,) = paper_table(table).choose([name])
    cfg = OmegaConf.to_container(entry.compose("evaluate", asked.evaluate), resolve=True)
    assert cfg["num_images"] == asked.images or asked.images is None
    schedule = Linear(1000)
    own = walk(schedule) if table.startswith("ldm") else Ancestral(1000)
    sampler = exchanged(own, cfg["sampler"], "sampler")
    twice = 2 if (cfg["guidance"].get("_target_") or "").endswith("ClassifierFree") else 1
    if asked.evaluations is not None and asked.evaluations <= 2000:
        assert twice * (len(sampler.grid(schedule, sampler.num_steps)) - 1) == asked.evaluations


@pytest.mark.parametrize("name", sorted(files.files()))
def test_every_table_that_ships_is_whole(name: str) -> None:
    table = paper_table(name)
    for one in table.rows:
        assert one.numbers and (one.source or one.from_memory)
        if one.weights:
            assert set(one.numbers) & set(one.measured_as), one.name
            assert any(o.startswith("data=") for o in one.evaluate), one.name
        for weights in one.weights.values():
            known = weights in published.published()
            assert known or (paths.checkpoints() / f"{weights}.safetensors").is_file()


FINE = "{name: a, numbers: {FID: 1.0}, weights: {checkpoint: digits/ddpm}, measured_as: {FID: f}}"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("[{name: a, numbers: {FID: one}}]", r"a.numbers.FID: expected float, got str 'one'"),
        ("[{name: a, numbers: {}, nfe: 3}]", "a: unknown field 'nfe'"),
        ("[{numbers: {FID: 1.0}}]", "field 'name' is missing"),
        ("[{name: a, numbers: {}}, {name: a, numbers: {}}]", "two rows are called 'a'"),
        ("[{name: a, numbers: {}, weights: {guidance: x}}]", "weights names no 'checkpoint'"),
        (f"[{FINE}]", "tolerance of FID is a number or like '5%'"),
        ("[{name: a, numbers: {}, stated: {labls: x}}]", "no field 'labls'; did you mean 'labels'"),
        ("3", "a table is a mapping"),
        ("[", "mine.yaml: cannot be read"),
    ],
)
def test_a_table_that_is_not_as_it_should_be_is_named(tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"paper: ours\ntable: table 1\nrows: {rows}\n")
    with pytest.raises(ValueError, match=said):
        paper_table("mine", tmp_path)


def test_numbers_from_memory_are_marked(tmp_path: Path) -> None:
    table = paper_table("improved_ddpm_table2")
    outcomes = run(table.rows, [], tmp_path, measured)
    text = reproduction.to_markdown(table, outcomes, "zoo reproduce table=improved_ddpm_table2")
    assert text.count("(from memory)") == 10
    assert "| hybrid_cosine_4000_fid | FID | 3.19 | – | – | – | – | not run |" in text
    assert "0 reproduced, 0 not reproduced, 0 not comparable, 12 not run." in text
