"""What may be wrong with shards, samples and stores, each named in one line."""

from __future__ import annotations

import gzip
import http.server
import io
import tarfile
import threading
from itertools import islice

import fsspec
import pytest
import torch
from fsspec.registry import known_implementations

from zoo.data import WebDataset
from zoo.data.shards.store import shard_files
from zoo.data.stream import TrainStream

from .conftest import Counted, settled, tar_bytes


@pytest.fixture
def shard(tmp_path):
    """Writes one shard; gives a data set of it."""

    def shard(content, **options):
        if not isinstance(content, bytes):
            content = tar_bytes(content)
        (tmp_path / "a.tar").write_bytes(content)
        options = {"name": "made", "image_size": 8, "memory_limit_gb": 0.0, "batch_size": 4,
                   "test_fraction": 0.3, "condition": "none", **options}  # fmt: skip
        made = WebDataset(str(tmp_path / "a.tar"), **options)
        made.setup()
        return made

    return shard


def test_files_of_a_sample_may_lie_anywhere(shard, png):
    """Nested folders, all texts behind all images, dots in folders, hidden files, capitals."""
    keys = [f"a.b/c/{i:03}" for i in range(20)]
    files = [(f"./{key}.PNG", png(i)) for i, key in enumerate(keys)]
    files += [("README", b"no sample"), ("._a/000.png", b"x"), ("a.b/c/._000.png", b"x")]
    files += [("big/one.bin", bytes(1 << 17))]
    files += [(f"./{key}.txt", f"text {i}".encode()) for i, key in reversed([*enumerate(keys)])]
    files += [(f"./{key}.json", b'{"kind": {"id": %d}}' % (i % 2)) for i, key in enumerate(keys)]
    with pytest.warns(UserWarning, match=r"left out 1 samples without an image, as .*big/one"):
        made = shard(
            files,
            label_column="json.kind.id",
            caption_column="txt",
            condition="caption",
            on_broken="skip",
        )
    for split in (made.train, made.test):
        numbers = split.gather(range(len(split)))[:, 0, 0, 0].tolist()
        assert list(split.captions) == [f"text {number}" for number in numbers]
        assert split.labels.tolist() == [number % 2 for number in numbers]
    batch = made.train_dataloader().batch(0)
    pixels = ((batch.images[:, 0, 0, 0] + 1) * 127.5).round().long().tolist()
    assert batch.condition == [f"text {number}" for number in pixels]


def test_several_captions_and_images_of_several_formats(shard, png):
    files = []
    for i in range(40):
        suffix, encoded = ("jpg", png(9, kind="JPEG")) if i % 2 else ("webp", png(9, kind="WEBP"))
        text = b'{"texts": ["one %d", "two %d"]}' % (i, i)
        files += [(f"{i:03}.{suffix}", encoded), (f"{i:03}.json", text)]
    made = shard(files, image_column="jpg;webp", caption_column="json.texts", condition="caption")
    assert made.train.captions[0].startswith("one ")
    assert all(len(texts) == 2 for texts in made.train.alternatives)
    stream = made.train_dataloader()
    first = [text for k in range(20) for text in stream.batch(k).condition]
    assert {text[:3] for text in first} == {"one", "two"}
    assert first == [text for k in range(20) for text in made.train_dataloader().batch(k).condition]


def refused(png):
    image = png(1)
    good = [("1.png", image), ("1.cls", b"0"), ("2.png", image), ("2.cls", b"1")]
    whole = tar_bytes(good)
    middle = bytearray(whole)
    middle[1024 : 1024 + 100] = b"\xff" * 100
    sparse = {"label_column": "cls"}
    return {
        "gzip": (gzip.compress(whole), {}, r"a\.tar is a gzip file: shards are read in pieces"),
        "empty": (b"", {}, r"a\.tar is empty"),
        "text": (b"no tar at all" * 100, {}, r"a\.tar cannot be read as tar"),
        "cut off": (whole[:700], {}, r"a\.tar cannot be read as tar: .*(cut off|unexpected)"),
        "damaged": (bytes(middle), {}, r"cannot be read as tar: it is damaged at byte 1,024"),
        "twice": ([*good, ("1.png", image)], {}, r"a\.tar, 1\.png: there twice"),
        "no such image": (good, {"image_column": "jpg"}, "no column 'jpg'; it has cls, png"),
        "no label": (good[:3], sparse, r"a\.tar, 2\.png: column 'cls' is empty"),
        "no integer": ([*good[:3], ("2.cls", b"1.5")], sparse, r"2\.png: labels are integers"),
        "no caption": (good, {"caption_column": "txt"}, r"a\.tar, 1 has no \.txt; it has png, cls"),
        "empty text": ([*good, ("1.txt", b" "), ("2.txt", b"b")], {"caption_column": "txt"},
                       r"a\.tar, 1\.txt: column 'txt' is empty"),
        "no JSON": ([*good, ("1.json", b"{")], {"caption_column": "json.a"},
                    r"a\.tar, 1\.json: no readable JSON"),
        "no field": ([*good, ("1.json", b"{}"), ("2.json", b"{}")], {"caption_column": "json.a"},
                     r"1\.json: column 'json\.a' is empty"),
        "no image": ([*good, ("3.cls", b"0")], sparse,
                     r"broken image, .*a\.tar, 3: it has no file of the column 'png'"),
        "nothing": ([], {}, r"a\.tar: there are no images in it"),
    }  # fmt: skip


CASES = ["gzip", "empty", "text", "cut off", "damaged", "twice", "no such image", "no label",
         "no integer", "no caption", "empty text", "no JSON", "no field", "no image",
         "nothing"]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("memory_limit_gb", [0.0, 4.0])
def test_refused_before_anything_is_decoded(shard, png, case, memory_limit_gb):
    cases = refused(png)
    assert list(cases) == CASES
    content, options, message = cases[case]
    with pytest.raises(ValueError, match=message) as caught:
        shard(content, memory_limit_gb=memory_limit_gb, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture
def half_broken(shard, png):
    """300 images of which every seventh is broken, and labels that tell them apart."""

    def half_broken(on_broken):
        files = []
        for i in range(300):
            image = png(i % 256)
            files += [(f"{i:03}.png", image[:40] if i % 7 == 0 else image)]
            files += [(f"{i:03}.cls", str(i).encode())]
        return shard(files, label_column="cls", on_broken=on_broken, condition="label")

    return half_broken


def test_a_broken_image_is_named_where_it_is_used(half_broken):
    made = half_broken("stop")
    with pytest.raises(ValueError, match=r"broken image, .*a\.tar, \d+\.png: not a readable"):
        list(islice(made.train_dataloader(), 40))


def test_another_is_in_the_place_of_a_broken_image_whoever_reads_it(half_broken):
    made = half_broken("skip")
    with pytest.warns(UserWarning, match=r"in the place of each broken one, such as .*\.png"):
        whole = [made.train_dataloader().batch(k) for k in range(60)]
    for batch in whole:
        pixels = ((batch.images[:, 0, 0, 0] + 1) * 127.5).round().long()
        assert torch.equal(pixels, batch.condition % 256)
        assert (batch.condition % 7 != 0).all()
    assert made.num_skipped > 20
    again = half_broken("skip").train
    streams = [TrainStream(again, "label", 4, 0, False, rank, 2) for rank in (1, 0)]
    with pytest.warns(UserWarning, match="in the place"):
        halves = [list(islice(stream, 60)) for stream in streams]
    for one, two, batch in zip(*halves, whole, strict=True):
        assert torch.equal(torch.cat([two.images, one.images]), batch.images)
        assert torch.equal(torch.cat([two.condition, one.condition]), batch.condition)


def test_a_block_without_a_sound_image_is_an_error(shard, png):
    files = [(f"{i}.png", b"broken") for i in range(20)]
    made = shard(files, on_broken="skip")
    with (
        pytest.warns(UserWarning, match="in the place"),
        pytest.raises(ValueError, match="nor is there another sound image near it"),
    ):
        made.train.gather([0])


def test_a_network_that_fails_for_a_while(write, opened, capsys):
    made = opened("tar", write("tar", where="counted"), write("tar", (9,), "counted", "test"))
    expected = made.train.gather([5])
    Counted.failures += [ConnectionResetError("reset by peer"), TimeoutError()]
    assert torch.equal(made.train.gather([5]), expected)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("000.tar: ")[1] for line in lines] == [
        "TimeoutError; trying again (2 of 4)",
        "ConnectionResetError: reset by peer; trying again (3 of 4)",
    ]


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), PermissionError("no")])
def test_a_store_that_fails_for_good_ends_the_stream(error, write, opened):
    made = opened("tar", write("tar", where="counted"), write("tar", (9,), "counted", "test"))
    Counted.failures += [error] * 10_000
    tries = " after 4 tries" if isinstance(error, ConnectionResetError) else ""
    iterator = iter(made.train_dataloader())
    reason = rf"counted://.*\.tar cannot be read{tries} \({type(error).__name__}"
    with pytest.raises(ValueError, match=reason):
        next(iterator)
    assert settled(lambda: not [t for t in threading.enumerate() if t.name.startswith("shards-")])


def test_a_shard_that_shrank_since_it_was_indexed(write, opened):
    made = opened("tar", write("tar", where="counted"), write("tar", (9,), "counted", "test"))
    store = fsspec.filesystem("counted")
    store.pipe("/set/002.tar", b"x" * 100)
    with pytest.raises(ValueError, match=r"002\.tar cannot be read after 4 tries .*cut off"):
        made.train.gather(range(100))


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A server of files that knows ranges."""

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        content = self.server.content
        unit = self.headers.get("Range")
        start, stop = 0, len(content)
        if unit:
            first, last = unit.removeprefix("bytes=").split("-")
            start, stop = int(first), int(last or stop) + 1
        part = content[start:stop]
        self.send_response(206 if unit else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if unit:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)


def test_from_a_web_server(png):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    server.content = tar_bytes((f"{i:03}.png", png(i)) for i in range(50))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/a.tar"
        made = WebDataset(address, name="made", image_size=8, memory_limit_gb=0.0, condition="none")
        made.setup()
        numbers = [*made.train.gather(range(len(made.train)))[:, 0, 0, 0].tolist(),
                   *made.test.gather(range(len(made.test)))[:, 0, 0, 0].tolist()]  # fmt: skip
        assert sorted(numbers) == list(range(50))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_names_of_shards(tmp_path, monkeypatch):
    for name in ("b.tar", "a.tar", "x/a.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    monkeypatch.chdir(tmp_path)

    def names(*patterns):
        return [file.name for file in shard_files(patterns)]

    assert names("*.tar") == ["a.tar", "b.tar"]
    assert names("{b,a}.tar") == ["b.tar", "a.tar"]
    assert names("a.tar", str(tmp_path / "x/a.tar")) == ["a.tar", "x/a.tar"]
    with pytest.raises(ValueError, match="a.tar is there twice"):
        names("*.tar", "a.tar")
    with pytest.raises(ValueError, match="no such shard: looked for c.tar"):
        names("{a,b,c}.tar")
    fsspec.filesystem("memory").pipe("/deep/0.tar", b"x")
    assert names("memory://deep/*.tar") == ["0.tar"]
    for absent in ("memory://deep/9.tar", "memory://deep/*.zip"):
        with pytest.raises(ValueError, match=f"no such shard: {absent.replace('*', '.')}"):
            names(absent)


def test_a_protocol_without_its_package_says_what_to_install(monkeypatch):
    known = {"class": "package_of_made.Made", "err": "Install package_of_made"}
    monkeypatch.setitem(known_implementations, "made", known)
    with pytest.raises(ValueError, match="made:// needs .*: pip install package_of_made"):
        shard_files("made://bucket/{000..001}.tar")
    with pytest.raises(ValueError, match="nosuch"):
        shard_files("nosuch://bucket/a.tar")


def test_a_tar_by_another_writer(tmp_path, png, shard):
    """GNU's long names, and names of other alphabets."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for i in range(10):
            info = tarfile.TarInfo(f"{'folder/' * 30}Ä{i}.png")
            info.size = len(png(i))
            tar.addfile(info, io.BytesIO(png(i)))
    made = shard(buffer.getvalue())
    assert len(made.train) + len(made.test) == 10
