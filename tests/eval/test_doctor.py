from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from eval import doctor
from eval.extractor.weights import KNOWN_WEIGHTS
from zoo import paths


@pytest.fixture(autouse=True)
def nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOO_DATA", raising=False)


def test_every_section_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.main([])
    printed = capsys.readouterr().out
    for words in ("packages\n", "machine\n", "data\n", "metric weights\n", "sha256"):
        assert words in printed
    assert metadata.version("torch") in printed


def test_versions_are_those_of_the_requirements() -> None:
    lines = doctor.packages()
    assert lines["torch"] == metadata.version("torch")
    assert lines["hydra-core"] == metadata.version("hydra-core")
    assert "tensorboard" in lines
    assert "pytest" not in lines  # what tests need is no user's business


def test_a_missing_or_old_package_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = [
        "torch>=999",
        "no-such-package-of-ours>=2",
        "rich",
        "absent>1; extra == 'tensorboard'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    lines = doctor.packages()
    assert lines["torch"] == f"MISSING: {metadata.version('torch')} is installed, >=999 is needed"
    assert lines["no-such-package-of-ours"] == "MISSING: pip install 'no-such-package-of-ours>=2'"
    assert lines["rich"] == metadata.version("rich")
    assert lines["absent"].startswith("optional, not installed")
    with pytest.raises(SystemExit) as exit:
        doctor.main([])
    assert exit.value.code == 1
    assert "no-such-package-of-ours" in capsys.readouterr().out


def test_the_device_is_what_training_would_use() -> None:
    from zoo.system.device import accelerator, precision

    lines = doctor.machine()
    assert lines["device"].startswith(accelerator())
    assert lines["precision"].startswith(str(precision("auto", accelerator())))


def line(name: str) -> str:
    (found,) = (text for key, text in doctor.weights().items() if key.startswith(f"{name} ("))
    return found


def test_missing_weights_say_which_file_its_sha256_and_where_to_put_it() -> None:
    for name, known in KNOWN_WEIGHTS.items():
        assert line(name).startswith(f"missing: put it at {paths.cache() / known.file}")
        assert known.address in line(name)
        assert f"expected sha256 {known.sha256}" in line(name)


def test_every_metric_that_needs_published_weights_names_its_own() -> None:
    served = {
        metric: name.partition(" (")[0]
        for name in doctor.weights()
        for metric in name.partition(" (")[2].rstrip(")").split(", ")
    }
    assert served["FID"] == served["Inception Score"] == served["sFID"] == "inception"
    assert served["FD-DINOv2"] == "dinov2"
    assert served["CLIP-FID"] == served["CLIPScore"] == "ViT-B-32/openai"
    assert served["CLIP score"] == "ViT-B-32/laion2b_s34b_b79k"
    assert served["CMMD"] == "ViT-L-14-336/openai"
    assert "LPIPS" in served


def test_a_wrong_file_is_not_taken_for_the_weights() -> None:
    known = KNOWN_WEIGHTS["inception"]
    paths.cache().mkdir(parents=True)
    (paths.cache() / known.file).write_bytes(b"something else")
    assert line("inception").startswith("wrong: ")


def test_data_is_looked_for_in_zoo_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.data()["ZOO_DATA"].startswith("not set")
    root = tmp_path / "data"
    monkeypatch.setenv("ZOO_DATA", str(root))
    assert doctor.data()["ZOO_DATA"] == f"{root}: no such folder"
    (root / "cifar10").mkdir(parents=True)
    (root / "cifar10" / "train.parquet").touch()
    assert "test.parquet is missing" in doctor.data()["cifar10"]
    (root / "cifar10" / "test.parquet").touch()
    assert doctor.data()["cifar10"] == f"found in {root / 'cifar10'}"


def test_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        doctor.main(["now"])
    assert exit.value.code == 2
    assert "'now'" in capsys.readouterr().err
