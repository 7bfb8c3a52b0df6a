from __future__ import annotations

from pathlib import Path

import pytest

from eval.report import readme

RESULTS = """\
# Digits

Made by `zoo compare`.

| model | FID | FLOPs per image and step |
| --- | --- | --- |
| ddpm | 3.1 (a \\| b) | 7 |

## Budget

| not | this |
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
    (folder / "results.md").write_text(RESULTS)
    (folder / "comparison.png").write_bytes(b"a picture")
    return folder


def test_table_command_and_picture_stand_between_the_markers(page: Path, comparison: Path) -> None:
    readme.main([str(comparison), "--readme", str(page)])
    text = page.read_text()
    assert "| ddpm | 3.1 (a \\| b) |\n" in text
    assert "Made by `zoo compare`." in text
    assert "old" not in text
    assert "this" not in text
    assert text.startswith("# Zoo\n\n" + readme.BEGIN)
    assert text.endswith(readme.END + "\n\nthe end\n")
    assert "(docs/comparison.png)" in text
    assert (page.parent / "docs" / "comparison.png").read_bytes() == b"a picture"


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


def test_a_folder_without_a_table_is_named(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        readme.main([str(tmp_path / "absent"), "--readme", str(page)])
    assert exit.value.code == 2
    assert "absent/results.md: no such file" in capsys.readouterr().err


def test_the_readme_of_this_repository_has_its_markers() -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text()
    assert "| ddpm |" in readme.with_results(text, RESULTS.replace("3.1", "x"))
