"""Metadata files beside images: every format, every mistake in one line, what sets make of them."""

from __future__ import annotations

import json
import zipfile

import pyarrow
import pytest
from pyarrow import parquet

from zoo.data import Folder
from zoo.data.source.listing import open_files
from zoo.data.source.metadata import listed
from zoo.data.source.table import read_table


@pytest.fixture
def folder(tmp_path, png):
    """A folder of 0.png to 3.png, each with its number as its value."""
    for value in range(4):
        (tmp_path / f"{value}.png").write_bytes(png(value))
    return tmp_path


def read(folder, content, label=None, caption="text", name="metadata.csv"):
    """What a metadata file lists."""
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(raw)
    files = open_files(folder)
    return listed(files, read_table(files, name), label, caption)


def data(folder, **options):
    defaults = {"name": "made", "image_size": 8, "condition": "none", "test_fraction": 0.25}
    made = Folder(str(folder), **{**defaults, **options})
    made.setup()
    return made


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("spelling", ["metadata", "Metadata"])
def test_every_format_says_the_same(kind, spelling, folder):
    rows = [("2.png", 1, 'two, "of" them'), ("0.png", 0, "zéro")]
    columns = dict(zip(("file_name", "label", "text"), zip(*rows, strict=True), strict=True))
    name = f"{spelling}.{kind}"
    if kind == "parquet":
        parquet.write_table(pyarrow.table({k: list(v) for k, v in columns.items()}), folder / name)
    elif kind == "jsonl":
        lines = [dict(zip(columns, row, strict=True)) for row in rows]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        mark = "," if kind == "csv" else "\t"
        lines = [mark.join([a, str(b), '"' + c.replace('"', '""') + '"']) for a, b, c in rows]
        (folder / name).write_text("\n".join([mark.join(columns), *lines]))
    files = open_files(folder)
    found = listed(files, read_table(files, name), "label", "text")
    assert found == (["2.png", "0.png"], [1, 0], ['two, "of" them', "zéro"])


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ('file_name,text\n0.png,"a cat, sitting"\n', "a cat, sitting"),
        ('file_name,text\n0.png,a 12" ruler\n', 'a 12" ruler'),
        ('file_name,text\r\n0.png,"two\r\nlines"\r\n', "two\r\nlines"),
        ("file_name,text\r0.png,old\r", "old"),
        ("\ufefffile_name,text\n0.png,marked\n", "marked"),
        ("file_name, text ,\n\n0.png,blanks,\n  \n", "blanks"),
        ("text,file_name\n7,0.png\n", "7"),
        ("file_name,text\n0.png,line\u2028and\u0085next\n", "line\u2028and\u0085next"),
        ("file_name,other,text\n0.png," + "x" * 200_000 + ",long\n", "long"),
        ("file_name,text\n0.png," + "x" * 200_000 + "\n", "x" * 200_000),
        ("file_name,text\n.\\0.png,windows\n", "windows"),
    ],
)
def test_texts_of_csv(text, caption, folder):
    found = read(folder, text)
    assert (found.names, found.captions) == (["0.png"], [caption])


@pytest.mark.parametrize(
    ("line", "caption"),
    [
        ('{"file_name": "0.png", "text": "a\u2028b\u0085c"}', "a\u2028b\u0085c"),
        ('\ufeff{"file_name": "0.png", "text": "mark"}\r\n\r\n', "mark"),
        ('{"file_name": "0.png", "text": ["one", "two"], "other": NaN}', ("one", "two")),
        ('{"file_name": "0.png", "text": ["one"]}', "one"),
    ],
)
def test_texts_of_jsonl(line, caption, folder):
    assert read(folder, line, name="metadata.jsonl").captions == [caption]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "file_name,text\n1.png,ok\n0.png,a cat, sitting\n",
            "line 3: 3 fields, but the",
        ),
        ("file_name,text\n0.png\n", "line 2: 1 fields, but the header names 2"),
        ('file_name,text\n0.png,"a cat\n1.png,b\n', "line 2: a double quote is never closed"),
        ('file_name,text\n0.png,"a\n1.png,b\n2.png,"\n', "line 2: a double quote .* swallowed"),
        ('file_name,text\n0.png,"a\n1.png,"b"\n', "line 2: .*quotes within a quoted text"),
        ('file_name,text\n0.png,"Hi" he said\n', "line 2: .*quotes within a quoted text"),
        (
            "file_name,text\n0.png,ok\n1.png,caf\u00e9\n".encode("latin-1"),
            "line 3: not UTF-8",
        ),
        ("file_name,text\n0.png,a\n".encode("utf-16"), "line 1: not UTF-8"),
        ("file_name,text\n0.png,a\n".encode("utf-16-le"), "not UTF-8 .it has zero bytes"),
        ("file_name;text\n0.png;a\n", "has ';' between its columns, in the place of ','"),
        ("file_name\ttext\n0.png\ta\n", r"has '\\t' between its columns"),
        ("file_name,text,text\n0.png,a,b\n", "has two columns 'text'"),
        ("", "lists no images"),
        ("file_name,text\n", "lists no images"),
        ("name,text\n0.png,a\n", "no column 'file_name'; it has name, text"),
        ("file_name,title\n0.png,a\n", "no column 'text'; it has file_name, title"),
        ("file_name,text\n0.png,\n", "line 2: column 'text' is empty"),
        ("file_name,text\n0.png,a\n1.png,  \n", "line 3: column 'text' is empty"),
        ("file_name,text\n0.png,nan\n", "line 2: column 'text' is empty"),
        ('file_name,text\n0.png,"a\nb"\n1.png,\n', "line 4: column 'text' is empty"),
        ("file_name,text\n,a\n", "line 2: column 'file_name' is no file's name, but ''"),
        ("file_name,text\n._0.png,a\n", "line 2: no such file, .*system files never count"),
        ("file_name,text\n9.png,a\n", r"line 2: no such file, 9\.png$"),
        ("file_name,text\n0.PNG,a\n", r"no such file, 0\.PNG; did you mean 0\.png\?"),
        ("file_name,text\nx/0.png,a\n", r"no such file, x/0\.png; did you mean 0\.png\?"),
    ],
)
def test_mistakes_in_csv_are_named_in_one_line(content, message, folder):
    with pytest.raises(ValueError, match=f"metadata.csv.*{message}") as caught:
        read(folder, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"file_name": "0.png", "text": "a"}\n{"file_name"', "line 2: "),
        ('[{"file_name": "0.png"}]', "line 1: expected an object"),
        ("[" * 100_000, "line 1: "),
        ('{"file_name": "0.png", "text": NaN}', "line 1: column 'text' is empty"),
        ('{"file_name": "0.png", "text": null}', "line 1: column 'text' is empty"),
        ('{"file_name": "0.png", "text": []}', "line 1: column 'text' is empty"),
        ('{"file_name": "0.png", "text": ["a", ""]}', "line 1: column 'text' is empty"),
        ('{"file_name": "0.png", "text": ["a", 3]}', "line 1: a caption is a sentence, .* has 3"),
        ('{"file_name": "0.png", "text": 3}', "line 1: a caption is a sentence, .* has 3"),
        ('{"file_name": "0.png", "text": {"en": "a"}}', "line 1: a caption is a sentence"),
        ('{"file_name": "0.png", "text": [["a"]]}', "line 1: a caption is a sentence"),
        ('{"file_name": "0.png", "text": "\\ud800"}', "line 1: column 'text' is no valid UTF-8"),
        ('{"file_name": "0.png", "text": "a"}\n\n{"file_name": "1.png"}', "line 3: column 'text'"),
        ('{"file_name": 0, "text": "a"}', "line 1: column 'file_name' is no file's name, but 0"),
    ],
)
def test_mistakes_in_jsonl_are_named_in_one_line(lines, message, folder):
    with pytest.raises(ValueError, match=f"metadata.jsonl, {message}") as caught:
        read(folder, lines, name="metadata.jsonl")
    assert "\n" not in str(caught.value)


def test_labels_written_as_floats_keep_their_numbers(folder):
    (folder / "metadata.csv").write_text(
        "file_name,label\n" + "".join(f"{i % 4}.png,{i % 4}.0\n" for i in range(4))
    )
    made = data(folder, label_column="label", condition="label", test_fraction=0.25)
    for split in (made.train, made.test):
        assert split.labels.tolist() == split.images[:, 0, 0, 0].tolist()


def test_lines_about_one_image_are_joined(folder):
    text = "file_name,label,text\n0.png,1,one\n1.png,0,two\n0.png,1.0,three\n0.png,1,one\n"
    found = read(folder, text, "label")
    assert found == (["0.png", "1.png"], [1, 0], [("one", "three"), "two"])
    with pytest.raises(ValueError, match=r"line 3: 0\.png has the label 2 here and 1 in .*line 2"):
        read(folder, "file_name,label,text\n0.png,1,a\n0.png,2,b\n", "label")


def test_images_that_are_not_listed_are_left_out_and_counted(folder, capsys):
    assert read(folder, "file_name,text\n2.png,a\n1.png,b\n").names == ["2.png", "1.png"]
    said = capsys.readouterr().err
    assert "metadata.csv: left out 2 images that it does not list (0.png, 3.png)" in said


def test_two_metadata_files_are_refused(folder):
    for kind in ("csv", "jsonl"):
        (folder / f"metadata.{kind}").write_text("")
    with pytest.raises(ValueError, match=r"has metadata\.csv and metadata\.jsonl: keep the one"):
        data(folder)


def test_a_metadata_file_that_lies_deeper_is_named(tmp_path, png):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(png(0))
    (tmp_path / "a" / "metadata.csv").write_text("file_name,text\n0.png,a\n")
    with pytest.raises(ValueError, match=r"has only a/metadata\.csv, which belongs to the top"):
        data(tmp_path, caption_column="text")


@pytest.mark.parametrize("place", ["folder", "zip"])
@pytest.mark.parametrize("above", [True, False])
def test_metadata_above_splits_or_in_them(place, above, tmp_path, png):
    files = {f"set/{split}/x/{i}.png": png(i) for split in ("train", "val") for i in range(2)}
    for split in ("train", "val"):
        rows = [f"{split}/x/{i}.png" if above else f"x\\{i}.png" for i in (1, 0)]
        key = "set/metadata.csv" if above else f"set/{split}/metadata.csv"
        head = files.get(key, b"file_name,text\n")
        files[key] = head + "".join(f"{row},{split} {row[-5]}\n" for row in rows).encode()
    if place == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    for name, content in files.items():
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_bytes(content)
    made = data(tmp_path / ("a.zip" if place == "zip" else "a"), caption_column="text")
    assert (made.train.captions, made.test.captions) == (["train 1", "train 0"], ["val 1", "val 0"])
    assert made.train.images[:, 0, 0, 0].tolist() == [1, 0]
    if above and place == "folder":
        (tmp_path / "a/set/val/metadata.csv").write_text("")
        with pytest.raises(ValueError, match=r"has a metadata\.csv, and so has one of its splits"):
            data(tmp_path / "a", caption_column="text")


@pytest.mark.parametrize("inside", ["train", "test", "images"])
def test_one_folder_beside_metadata_holds_all_images_whatever_its_name(inside, tmp_path, png):
    (tmp_path / inside).mkdir()
    for value in range(2):
        (tmp_path / inside / f"{value}.png").write_bytes(png(value))
    lines = "".join(f"{inside}/{value}.png,{value}\n" for value in range(2))
    (tmp_path / "metadata.csv").write_text("file_name,label\n" + lines)
    made = data(tmp_path, label_column="label", test_fraction=0.5)
    for split in (made.train, made.test):
        assert split.labels.tolist() == split.images[:, 0, 0, 0].tolist()


def test_a_folder_s_metadata_may_name_files_outside_it(tmp_path, png):
    (tmp_path / "set").mkdir()
    (tmp_path / "0.png").write_bytes(png(0))
    (tmp_path / "set" / "1.png").write_bytes(png(1))
    found = read(tmp_path / "set", f"file_name,text\n../0.png,a\n{tmp_path}/0.png,b\n1.png,c\n")
    assert found.captions == ["a", "b", "c"]


def test_one_of_several_captions_is_drawn_in_each_epoch(folder):
    lines = [{"file_name": f"{i}.png", "text": [f"{i} {word}" for word in "abc"]} for i in range(4)]
    lines[3]["text"] = "3 only"
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = {"caption_column": "text", "condition": "caption", "batch_size": 3, "seed": 1}
    made = data(folder, **options)
    stream, again = made.train_dataloader(), data(folder, **options).train_dataloader()
    seen = {}
    for step in range(40):  # an epoch is a batch of three images
        batch = stream.batch(step)
        assert batch.condition == again.batch(step).condition
        for image, caption in zip(batch.images, batch.condition, strict=True):
            number = round((float(image[0, 0, 0]) + 1) * 127.5)
            assert caption.startswith(f"{number} ")
            seen.setdefault(number, []).append(caption)
    assert all(len(captions) == 40 for captions in seen.values())
    assert {len(set(captions)) for captions in seen.values()} <= {1, 3}
    assert sum(len(set(captions)) == 3 for captions in seen.values()) >= 2
    assert len({tuple(c[-1] for c in seen[number]) for number in seen if number != 3}) >= 2
    first = [of[0] for of in made.train.alternatives]
    assert made.train.captions == first
    assert len(made.train.all_captions) == sum(map(len, made.train.alternatives))
    assert next(iter(made.val_dataloader())).condition == made.test.captions
