from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eval.measure import evaluation
from eval.report.drawing.sweep_picture import Point, front, picture
from eval.result.record import Result
from eval.study.sweep import to_csv, to_markdown
from eval.sweep import axes_of, main
from zoo import checkpoint
from zoo.models.small_extractor import SmallExtractor


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("sweep") / "extractor.safetensors"
    return checkpoint.save(SmallExtractor((1, 16, 16), 10), path)


def arguments(folder: Path, extractor: Path) -> list[str]:
    return [
        "checkpoint=digits/latent_diffusion", f"run_dir={folder}", "num_images=24",
        "sampler=ddim,heun", "sampler.num_steps=1,2", "extractor=small", "metric=[fid,nearest]",
        f"extractor.small.path={extractor}", "batch_size=24", "fid_counts=[24]",
    ]  # fmt: skip


def test_every_cell_is_measured_once_and_drawn(
    tmp_path: Path, extractor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(arguments(tmp_path, extractor))
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["sampler"], r["sampler.num_steps"]) for r in rows] == [
        ("ddim", "1"), ("ddim", "2"), ("heun", "1"), ("heun", "2"),
    ]  # fmt: skip
    assert [float(row["network_evaluations"]) for row in rows] == [1, 2, 1, 3]
    for number, row in enumerate(rows):
        value = Result.load(tmp_path / f"{number:03d}.json").values["fid_small_24"]
        assert float(row["fid_small_24"]) == value.value
        assert float(row["fid_small_24_low"]) == value.interval[0]
    assert (tmp_path / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    assert (
        "Made by `zoo sweep checkpoint=digits/latent_diffusion"
        in (tmp_path / "sweep.md").read_text()
    )
    assert "4 of 4: sampler=heun, sampler.num_steps=2" in capsys.readouterr().out


def test_a_sweep_resumes_at_its_point(
    tmp_path: Path, extractor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    generate = evaluation.generated

    def watched(*args: object, **kwargs: object) -> object:
        made.append(1)
        return generate(*args, **kwargs)

    monkeypatch.setattr(evaluation, "generated", watched)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    main([a for a in arguments(tmp_path, extractor) if not a.startswith("sampler=")])
    assert len(made) == 2
    main(arguments(tmp_path, extractor))
    assert len(made) == 4  # DDIM is this model's own sampler: only Heun's cells are new


def test_a_cell_that_does_not_compose_stops_the_sweep_before_it_begins(
    tmp_path: Path, extractor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*arguments(tmp_path, extractor), "guidance=classifier_free,classifier_fre"])
    assert "classifier_fre" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit):
        main(["checkpoint=digits/ddpm"])
    assert "give at least one key several values" in capsys.readouterr().err


def test_lists_quotes_and_flags_are_no_axes() -> None:
    given = ["fid_counts=[8,9]", "name='a,b'", "--cfg=job", "-m", "seed=1"]
    assert axes_of(given) == (given, [])


def test_the_front_is_what_nothing_beats() -> None:
    points = [(1.0, 5.0), (2.0, 3.0), (3.0, 4.0), (2.0, 3.0)]
    assert front(points, (False, False)) == [0, 1, 3]
    assert front(points, (True, True)) == [0, 2]


def test_missing_values_leave_gaps(make_result) -> None:
    results = [make_result(str(fid), fid) for fid in (4.0, 3.0)]
    values = dict(results[1].values)
    del values["clip_score_small_clip"]
    cells = [
        Point({"sampler.num_steps": "5"}, results[0]),
        Point({"sampler.num_steps": "10"}, replace(results[1], values=values)),
    ]
    assert to_csv(cells).splitlines()[2].endswith("123.4")
    assert "| – |" in to_markdown(cells, "zoo sweep")
    assert picture(cells)[:4] == b"\x89PNG"
