"""Which files count, in a folder and in a zip of the same files."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from pathlib import Path

import pytest

from zoo.data.source.listing import open_files

LITTER = [
    ".DS_Store", "cat/.DS_Store", "Thumbs.db", "cat/THUMBS.DB", "desktop.ini", "Icon\r",
    "._0.png", "cat/._0.png", ".hidden.png", ".hidden/0.png", "cat/.cache/deep/0.png",
    ".ipynb_checkpoints/0-checkpoint.png", "cat/.ipynb_checkpoints/0.png",
    "__MACOSX/cat/0.png", "__MACOSX/cat/._0.png", "cat/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg",
    "@eaDir/0.png", ".@__thumb/0.png", "@Recycle/0.png", "#recycle/0.png", "#snapshot/cat/0.png",
    ".thumbnails/normal/0.png", "$RECYCLE.BIN/0.png", "System Volume Information/0.png",
    "lost+found/0.png", "cat/.Trash-1000/files/0.png", "cat/~$0.png",
]  # fmt: skip


@pytest.fixture(params=["folder", "zip"])
def place(request, tmp_path):
    """Makes a folder or a zip of some names, each with itself as content."""

    def make(*names):
        path = tmp_path / ("set" if request.param == "folder" else "set.zip")
        if request.param == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for name in names:
                    archive.writestr(name, "" if name.endswith("/") else name)
            return path
        path.mkdir()
        for name in names:
            file = path / name
            if name.endswith("/"):
                file.mkdir(parents=True)
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(name)
        return path

    return make


@pytest.mark.parametrize("litter", LITTER)
def test_litter_never_counts_and_is_said_once(litter, place, capsys):
    path = place("cat/0.png", "1.JPG", litter)
    files = open_files(path)
    assert list(files.names) == ["1.JPG", "cat/0.png"]
    said = capsys.readouterr().err
    assert said == f"{path}: left out 1 hidden or system files ({litter})\n"
    open_files(path)
    assert capsys.readouterr().err == ""


def test_all_litter_is_counted_in_one_line(place, capsys):
    path = place("0.png", *LITTER)
    assert open_files(path).images == ["0.png"]
    said = capsys.readouterr().err
    assert f"left out {len(LITTER)} hidden or system files (" in said and said.count("\n") == 1


def test_what_counts_though_it_looks_odd(place, capsys):
    names = [
        "@nasa/0.png",
        "#1/0.png",
        "_0.png",
        "a b/ü.png",
        "thumbnails128x128/0.png",
        "0.png/1.png",
    ]
    files = open_files(place(*names))
    assert sorted(files.names) == sorted(names)
    assert files.read("a b/ü.png").decode() == "a b/ü.png"
    assert files.where("_0.png").endswith("_0.png")
    assert capsys.readouterr().err == ""


def test_other_files_and_folders_without_images_are_said(place, capsys):
    names = ["cat/0.png", "dog/", "notes/a.txt", "b.txt", "LICENSE", "c.zip", "metadata.csv"]
    files = open_files(place(*names))
    assert files.images == ["cat/0.png"]
    said = capsys.readouterr().err
    assert "files that are no images: 2 .txt, 1 .zip, 1 without suffix" in said
    assert "2 folders without images (dog, notes)" in said


def test_the_order_is_folder_by_folder_whatever_the_place(place):
    names = ["a-b/1.png", "a/10.png", "a/9.png", "a.png", "B/1.png", "a/b/1.png"]
    expected = ["B/1.png", "a/10.png", "a/9.png", "a/b/1.png", "a-b/1.png", "a.png"]
    assert list(open_files(place(*names)).names) == expected


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".JpEg", ".webp", ".TIFF", ".gif", ".avif"])
def test_suffixes_of_images_in_any_case(suffix, place):
    assert open_files(place(f"0{suffix}", "0.txt", "0.pdf", "0.h5", "0")).images == [f"0{suffix}"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_found_and_sorted_in_either_spelling(form, place):
    name = unicodedata.normalize(form, "é/ä.png")
    files = open_files(place(name, "z/0.png", "f/0.png"))
    assert list(files.names) == ["f/0.png", "z/0.png", name]
    for other in ("NFC", "NFD"):
        assert files.find(unicodedata.normalize(other, "é/ä.png")) == name
    assert files.find("é\\ä.png") == name
    assert files.find("./é//ä.png") == name
    assert files.find("é") is None and files.find("") is None


def test_links_are_followed(tmp_path, capsys):
    outside = tmp_path / "elsewhere"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "0.png").write_text("0")
    root = tmp_path / "set"
    root.mkdir()
    (root / "cat").symlink_to(outside)
    (root / "dog").symlink_to("cat")
    (root / "1.png").symlink_to(outside / "deep" / "0.png")
    files = open_files(root)
    assert list(files.names) == ["1.png", "cat/deep/0.png", "dog/deep/0.png"]
    assert files.read("dog/deep/0.png") == b"0"
    said = capsys.readouterr().err
    assert (
        "1 folders that were listed before, through links: their images count again (dog)" in said
    )
    (tmp_path / "alias").symlink_to(root)
    assert list(open_files(tmp_path / "alias").names) == list(files.names)


@pytest.mark.parametrize("target", [".", "..", "../..", "../../cat"])
def test_a_link_to_a_folder_above_ends_there(target, tmp_path, capsys):
    root = tmp_path / "set"
    (root / "cat" / "deep").mkdir(parents=True)
    (root / "cat" / "deep" / "0.png").write_text("")
    (root / "cat" / "deep" / "loop").symlink_to(target)
    assert list(open_files(root).names) == ["cat/deep/0.png"]
    assert (
        "left out 1 links to a folder above themselves (cat/deep/loop)" in capsys.readouterr().err
    )


def test_a_link_to_what_holds_the_whole_place_ends_too(tmp_path):
    root = tmp_path / "above" / "set"
    root.mkdir(parents=True)
    for folder in (root, root.parent):
        (folder / "0.png").write_text("")
    (root / "up").symlink_to("..")
    assert list(open_files(root).names) == ["0.png", "up/0.png"]


@pytest.mark.parametrize("link", ["dog", "cat/1.png", "cat/self"])
def test_a_link_that_leads_nowhere_is_named(link, tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "0.png").write_text("")
    target = "self" if link.endswith("self") else "/gone/away"
    (tmp_path / link).symlink_to(target)
    with pytest.raises(ValueError, match=f"{link} is a link to {target}, which does not exist"):
        open_files(tmp_path)


def test_a_hidden_link_that_leads_nowhere_is_litter(tmp_path):
    (tmp_path / "0.png").write_text("")
    (tmp_path / ".#0.png").symlink_to("/gone/away")
    assert list(open_files(tmp_path).names) == ["0.png"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=f"folder {tmp_path} cannot be read: Permission denied"):
        open_files(tmp_path)


def zipped(path: Path, **contents: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name", ["/etc/0.png", "../0.png", "cat/../../0.png", "C:\\0.png", "..\\0.png"]
)
def test_members_outside_a_zip_are_refused(name, tmp_path):
    path = zipped(tmp_path / "a.zip", **{"1.png": "", name: ""})
    with pytest.raises(ValueError, match=r"a\.zip: member '.*' lies outside the zip"):
        open_files(path)


def test_a_name_written_twice_counts_once_with_its_last_content(tmp_path):
    path = zipped(tmp_path / "a.zip", **{"0.png": "first"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("./0.png", "last")
    files = open_files(path)
    assert (list(files.names), files.read("0.png")) == (["0.png"], b"last")


def test_back_slashes_of_windows_separate_folders(tmp_path):
    files = open_files(zipped(tmp_path / "a.zip", **{"cat\\0.png": "cat", "dog\\": ""}))
    assert (list(files.names), files.read("cat/0.png")) == (["cat/0.png"], b"cat")


def test_names_of_macos_are_utf8_without_saying_so(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cafe/0.png", "")
    path.write_bytes(path.read_bytes().replace(b"cafe/", "café".encode()))
    assert list(open_files(path).names) == ["café0.png"]


def test_links_and_encrypted_members_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("cat")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "../elsewhere")
    with pytest.raises(ValueError, match=r"a\.zip: cat is a link; zip what it leads to"):
        open_files(path)
    zipped(path, **{"0.png": ""})
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.zip: 0\.png is encrypted"):
        open_files(path)


def test_a_damaged_member_is_a_value_error(tmp_path):
    path = zipped(tmp_path / "a.zip", **{"0.png": "content"})
    path.write_bytes(path.read_bytes().replace(b"content", b"consent"))
    with pytest.raises(ValueError, match="Bad CRC"):
        open_files(path).read("0.png")
    path.write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"a\.zip: not a readable zip"):
        open_files(path)
