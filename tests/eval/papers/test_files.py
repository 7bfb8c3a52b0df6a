from __future__ import annotations

from pathlib import Path

import pytest

from eval import listing
from eval.papers import files
from zoo import paths

TABLE = """\
# three numbers
paper: DDPM
table: table 9
arxiv: "2006.11239"
from_memory: false
rows:
  - weights: {checkpoint: ddpm_cifar10}
    evaluate: [data=cifar10]
    rows:
      - {name: a, numbers: {FID: 1.0}, evaluate: [seed=1]}
      - {name: b, numbers: {FID: 2.0}, weights: {guidance.classifier: digits/ddpm}}
  - {name: c, numbers: {FID: null}, from_memory: true}
"""


def test_a_row_has_the_facts_of_its_groups(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(TABLE)
    a, b, c = files.rows(files.load(files.files(tmp_path)["mine"]))
    assert a["evaluate"] == ["data=cifar10", "seed=1"] and b["evaluate"] == ["data=cifar10"]
    assert a["weights"] == {"checkpoint": "ddpm_cifar10"}
    assert b["weights"] == {"checkpoint": "ddpm_cifar10", "guidance.classifier": "digits/ddpm"}
    assert "weights" not in c
    assert (a["from_memory"], c["from_memory"]) == (False, True)


def test_a_table_says_what_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.yaml"
    file.write_text(TABLE)
    head = "DDPM, table 9 (arXiv:2006.11239): 3 rows, 1 from memory, "
    assert files.line(file) == head + "0 can be run, 2 more with ddpm_cifar10"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "ddpm_cifar10.safetensors").touch()
    assert files.line(file) == head + "2 can be run"
    file.write_text("rows: [")
    assert "cannot be read" in files.line(file)


def test_weights_that_ship_and_a_users_own_are_found(tmp_path: Path) -> None:
    shipped = files.weights_file("digits/ddpm")
    assert shipped == paths.checkpoints() / "digits" / "ddpm.safetensors"
    assert files.weights_file("ddpm_cifar10", tmp_path) is None
    (tmp_path / "ddpm_cifar10.safetensors").touch()
    assert files.weights_file("ddpm_cifar10", tmp_path) == tmp_path / "ddpm_cifar10.safetensors"


def test_every_table_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    listing.main(["papers"])
    printed = capsys.readouterr().out
    assert "diffusion-zoo, digits: 4 rows, 0 from memory, 4 can be run" in printed
    assert "DDIM, table 1 (arXiv:2010.02502): 50 rows, 0 from memory" in printed
    assert len(printed.splitlines()) == 1 + len(files.files())
