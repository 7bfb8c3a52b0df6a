from __future__ import annotations

from pathlib import Path

import pytest

from zoo.checkpoint.name import folder_name, run_name, run_names, subject_suffix
from zoo.checkpoint.published import checkpoint_file
from zoo.entry import compose


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/cosine/model.safetensors", "cosine"),
        ("runs/cosine", "cosine"),
        ("runs/cosine/", "cosine"),
        ("a/ddpm.safetensors", "ddpm"),
        ("digits/ddpm", "ddpm"),
        ("runs/m/12/model.safetensors", "m-12"),
        ("runs/m/12", "m-12"),
        ("runs/compare-digits/ddpm/seed-1", "ddpm-seed-1"),
        ("runs/v1.5", "v1.5"),
        ("out/images", "out-images"),
        ("generated.npz", "generated"),
    ],
)
def test_a_run_is_called_after_its_folder(path: str, name: str) -> None:
    assert run_name(path) == name
    assert subject_suffix(None, path, None) == f"-{name}"


def test_different_files_have_different_names() -> None:
    files = ["/a/x/model.safetensors", "/b/x/model.safetensors", "/b/y.safetensors", "/c/b/x"]
    names = run_names(map(Path, files))
    assert names[0] == "a-x" and names[2] == "y" and len(set(names)) == 4


@pytest.mark.parametrize("verb", ["evaluate", "sweep", "rosetta"])
def test_results_of_two_subjects_have_two_folders(verb: str) -> None:
    subjects = ("checkpoint=runs/a", "checkpoint=runs/b", "images=runs/a/images", "name=other")
    folders = [compose(verb, [subject]).run_dir for subject in subjects]
    assert folders[0] == f"runs/{verb}-digits-a" and len(set(folders)) == len(subjects)
    assert compose(verb, ["checkpoint=[a,b]"]).run_dir == f"runs/{verb}-digits"


def test_a_folder_stands_for_its_runs_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the folder of a finished run"):
        checkpoint_file(str(tmp_path))
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(ValueError, match="has not finished; .*ckpt_path=last resumes it"):
        checkpoint_file(str(tmp_path))
    (tmp_path / "model.safetensors").touch()
    assert checkpoint_file(str(tmp_path)) == tmp_path / "model.safetensors"


def test_a_name_is_a_safe_folder() -> None:
    assert folder_name("a/b c: d=1.5") == "a-b-c-d=1.5" and folder_name("..") != ""
