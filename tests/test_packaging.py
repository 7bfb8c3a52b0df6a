"""The wheel holds zoo and eval alone, with configs and small checkpoints, and works anywhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # the build backend itself, for a front end would fetch it into a fresh environment
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", folder], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("diffusion_zoo-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, which for pure Python is what installing does."""
    site = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def run(installed: Path, elsewhere: Path, *arguments: str) -> str:
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=elsewhere,
        env={"PYTHONPATH": str(installed), "PATH": "", "HOME": str(elsewhere), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_only_zoo_and_eval_land_in_site_packages(installed: Path) -> None:
    found = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert found == {"zoo", "eval"}


def test_configs_and_checkpoints_are_all_inside(installed: Path) -> None:
    kinds = {"configs": ["*.yaml"], "checkpoints": ["*.safetensors", "*.md"]}
    for folder, patterns in kinds.items():
        here = {p.relative_to(ROOT / folder) for x in patterns for p in (ROOT / folder).rglob(x)}
        inside = installed / "zoo" / folder
        there = {p.relative_to(inside) for p in inside.rglob("*") if p.is_file()}
        assert here
        assert here <= there


def test_nothing_that_python_wrote_is_inside(installed: Path) -> None:
    assert not [p for p in installed.rglob("*") if p.suffix in (".pyc", ".ckpt", ".log")]


def test_paths_point_into_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "from zoo import paths; print(paths.configs()); print(paths.checkpoints())"
    printed = run(installed, tmp_path, "-c", code).splitlines()
    assert printed == [str(installed / "zoo" / "configs"), str(installed / "zoo" / "checkpoints")]


def test_the_command_works_from_another_folder(installed: Path, tmp_path: Path) -> None:
    assert "improved_ddpm" in run(installed, tmp_path, "-m", "zoo.cli", "list", "models")
    shown = run(
        installed, tmp_path, "-m", "zoo.train", "model=improved_ddpm", "--cfg", "job", "--resolve"
    )
    assert "ImprovedDDPM" in shown
    assert not list(tmp_path.iterdir()), "a look at the config leaves nothing behind"


def test_the_papers_tables_are_all_inside(installed: Path) -> None:
    here = {file.name for file in (ROOT / "eval" / "papers" / "tables").glob("*.yaml")}
    assert here == {file.name for file in (installed / "eval" / "papers" / "tables").iterdir()}
    assert "digits: 4 rows" in run(installed, installed, "-m", "zoo.cli", "list", "papers")


def test_the_reports_templates_are_all_inside(installed: Path) -> None:
    templates = Path("eval") / "report" / "templates"
    here = {file.name for file in (ROOT / templates).iterdir()}
    assert {"page.html.j2", "page.css", "page.js", "table.tex.j2"} <= here
    assert here == {file.name for file in (installed / templates).iterdir()}


def test_the_wheel_names_the_command_and_the_licence(installed: Path) -> None:
    (info,) = installed.glob("*.dist-info")
    assert "zoo = zoo.cli:main" in (info / "entry_points.txt").read_text()
    metadata = (info / "METADATA").read_text()
    assert "License-Expression: Apache-2.0" in metadata
    assert (info / "licenses" / "LICENSE").read_text().count("Apache License") >= 1


def test_constraints_are_plain_pins_of_what_is_needed() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert {"torch", "lightning", "torchmetrics", "transformers", "open-clip-torch"} <= set(pins)
    assert {"hydra-core", "safetensors", "torch-fidelity", "datasets", "scikit-learn"} <= set(pins)
    assert "jinja2" in pins
    assert not [name for name, version in pins.items() if set(version) & set("@/; ")]


def test_the_description_for_package_indexes_loads_and_links_from_anywhere(installed: Path) -> None:
    (info,) = installed.glob("*.dist-info")
    metadata = (info / "METADATA").read_text(encoding="utf-8")
    facts, _, description = metadata.partition("\n\n")
    assert "Description-Content-Type: text/markdown" in facts
    here = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", description)
    assert len(links) == len(re.findall(r"\]\(([^)\s]+)\)", here))
    assert ("!", f"{REPOSITORY}/raw/main/docs/comparison.png") in links
    for _, link in links:
        assert link.startswith("https://"), link
        own = re.match(rf"{REPOSITORY}/(raw|blob)/main/([^#]*)", link)
        assert own is None or (ROOT / own[2]).exists(), link


def test_the_address_of_the_repository_is_one(installed: Path) -> None:
    (info,) = installed.glob("*.dist-info")
    metadata = (info / "METADATA").read_text(encoding="utf-8").partition("\n\n")[0]
    addresses = re.findall(r"^Project-URL: \w+, (.*)$", metadata, re.MULTILINE)
    assert len(addresses) == 5
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    addresses.append(citation["repository-code"])
    docker = (ROOT / ".ci" / "Dockerfile").read_text(encoding="utf-8")
    addresses += re.findall(r'image\.source="([^"]+)"', docker)
    assert len(addresses) == 7 and all(one.startswith(REPOSITORY) for one in addresses)


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    required = {"cff-version", "message", "title", "authors"}
    assert required <= set(citation) and citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"] and citation["license"] == PROJECT["license"]
    assert all(entry["authors"] and entry["url"] for entry in citation["references"])


def test_the_image_copies_what_there_is_and_has_a_python_that_suits() -> None:
    lines = (ROOT / ".ci" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    sources = {source for copy in copies for source in copy}
    assert all((ROOT / source).exists() for source in sources)
    needed = {"pyproject.toml", "README.md", "LICENSE", ".ci/readme.py", "zoo", "eval", "configs"}
    assert needed | {"checkpoints", "constraints.txt"} == sources  # what a wheel is built of
    (python,) = (line.partition(":")[2] for line in lines if line.startswith("FROM python:"))
    assert any(one.endswith(python.removesuffix("-slim")) for one in PROJECT["classifiers"])
