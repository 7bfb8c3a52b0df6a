from __future__ import annotations

from pathlib import Path

import pytest

from eval.report import readme

RESULTS = """\
model,fid_small_360,fid_small_360_floor,fid_small_360_num_images,fid_small_360_floor_images,\
fid_small_1000,fid_small_1000_low,fid_small_1000_high,fid_small_1000_floor,\
fid_small_1000_num_images,fid_small_1000_floor_images,\
clip_score_small_clip,clip_score_small_clip_ceiling,network_evaluations,images_per_second,machine
ddpm,3.25,0.5,360,360,3.0,2.5,3.5,0.5,1000,360,,80.153,50.0,21.5,"AMD EPYC, 2 threads"
'=cmd,0.25,0.5,360,360,2.0,1.5,2.25,0.5,1000,360,79.0,80.153,25.0,21.5,"AMD EPYC, 2 threads"
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "README.md"
    file.write_text(f"# Zoo\n\n{readme.BEGIN}\nold\n{readme.END}\n\nthe end\n")
    return file


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "demo"
    folder.mkdir(parents=True)
    (folder / "results.csv").write_text(RESULTS)
    (folder / "results.md").write_text("# Digits\n\nevery column\n")
    (folder / "comparison.png").write_bytes(b"a picture")
    return folder


def test_the_columns_stand_between_the_markers_and_the_rest_is_a_click_away(
    page: Path, comparison: Path
) -> None:
    readme.main([str(comparison), "--readme", str(page)])
    text = page.read_text()
    assert (
        "| model | FID-1000 ↓ | FID-360 ↓ (floor 0.500) | CLIP score ↑ (real 80.2) "
        "| network evaluations | images/s ↑ (on AMD EPYC, 2 threads) |\n"
    ) in text
    assert "| ddpm | 3.00 ± 0.50 | 3.25 | – | 50 | 21.5 |\n" in text
    assert "| =cmd | 2.00 ± 0.50 | 0.250 | 79.0 | 25 | 21.5 |\n" in text
    assert text.count("floor 0.500") == 1
    assert "\n- A model can lie below the floor: its labels are balanced" in text
    assert "old" not in text
    assert text.startswith("# Zoo\n\n" + readme.BEGIN)
    assert text.endswith(readme.END + "\n\nthe end\n")
    for link, content in (("results.md", b"# Digits"), ("comparison.png", b"a picture")):
        assert f"(docs/{link})" in text
        assert (page.parent / "docs" / link).read_bytes().startswith(content)


def test_no_speed_without_its_machine_and_no_reason_without_its_case(
    page: Path, comparison: Path
) -> None:
    lines = (comparison / "results.csv").read_text().splitlines()[:2]
    (comparison / "results.csv").write_text("\n".join(lines).replace("machine", "other"))
    readme.update(page, comparison)
    text = page.read_text()
    assert "images/s" not in text and "21.5" not in text
    assert "floor: the distance" in text and "below the floor" not in text


def test_doing_it_twice_changes_nothing_more(page: Path, comparison: Path) -> None:
    readme.update(page, comparison)
    once = page.read_text()
    readme.update(page, comparison)
    assert page.read_text() == once


@pytest.mark.parametrize("text", ["no markers", readme.BEGIN, readme.END + readme.BEGIN])
def test_a_page_without_markers_is_left_alone(page: Path, comparison: Path, text: str) -> None:
    page.write_text(text)
    with pytest.raises(ValueError, match="one pair"):
        readme.update(page, comparison)
    assert page.read_text() == text
    assert not (page.parent / "docs").exists()


def test_a_folder_without_a_table_is_named(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        readme.main([str(tmp_path / "absent"), "--readme", str(page)])
    assert exit.value.code == 2
    assert "absent/results.csv: no such file" in capsys.readouterr().err


def test_a_missing_column_is_named(page: Path, comparison: Path) -> None:
    (comparison / "results.csv").write_text(RESULTS.replace("clip_score_small_clip", "other"))
    with pytest.raises(ValueError, match=r"results.csv has no column clip_score_small_clip$"):
        readme.update(page, comparison)


def test_the_readme_of_this_repository_has_its_markers() -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text()
    assert "\nx\n" in readme.with_results(text, "x")
