from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from eval.extractor.weights import (
    KNOWN_WEIGHTS,
    UNKNOWN,
    Weights,
    check_whole,
    digest,
    find,
    own,
    state,
)

CONTENT = b"weights"
DIGEST = sha256(CONTENT).hexdigest()


@pytest.fixture
def published(tmp_path: Path, no_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """An entry whose address is a file on this disk."""
    source = tmp_path / "published" / "toy.bin"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    weights = Weights("toy", "toy.bin", DIGEST, source.as_uri(), "this test", "this test")
    monkeypatch.setitem(KNOWN_WEIGHTS, "toy", weights)
    return weights


def test_every_entry_says_where_it_comes_from() -> None:
    for name, weights in KNOWN_WEIGHTS.items():
        assert weights.name == name and weights.serves
    for weights in [one for some in KNOWN_WEIGHTS.values() for one in (some, *some.also)]:
        assert weights.address.startswith("https://")
        assert weights.source
        if weights.sha256 == UNKNOWN:
            assert weights.sha256_source == UNKNOWN
        else:
            assert len(weights.sha256) == 64
            assert int(weights.sha256, 16)
            assert weights.sha256_source != UNKNOWN


def test_addresses_are_those_of_the_installed_packages() -> None:
    import open_clip
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    assert KNOWN_WEIGHTS["inception"].address == URL_INCEPTION_V3
    for name, weights in KNOWN_WEIGHTS.items():
        if "/" in name:
            settings = open_clip.get_pretrained_cfg(*name.split("/"))
            assert f"huggingface.co/{settings['hf_hub']}" in weights.address


def test_cache_then_torch_hub(published: Weights, no_weights: Path, tmp_path: Path) -> None:
    assert state("toy") == "missing"
    in_hub = tmp_path / "torch" / "hub" / "checkpoints" / "toy.bin"
    in_hub.parent.mkdir(parents=True)
    in_hub.write_bytes(CONTENT)
    assert find("toy") == in_hub
    no_weights.mkdir()
    (no_weights / "toy.bin").write_bytes(CONTENT)
    assert find("toy") == no_weights / "toy.bin"
    assert state("toy") == f"present ({no_weights / 'toy.bin'})"


def test_downloads_only_when_allowed(published: Weights, no_weights: Path) -> None:
    with pytest.raises(ValueError, match="extractor.NAME.download=true fetches"):
        find("toy")
    assert not no_weights.exists()
    assert find("toy", download=True).read_bytes() == CONTENT
    assert [file.name for file in no_weights.iterdir()] == ["toy.bin"]


def test_a_wrong_download_never_reaches_the_cache(
    published: Weights, no_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "published" / "toy.bin").write_bytes(b"a page that says no")
    with pytest.raises(ValueError, match="torn or another file"):
        find("toy", download=True)
    (tmp_path / "published" / "toy.bin").unlink()
    with pytest.raises(ValueError, match="could not be fetched"):
        find("toy", download=True)
    assert list(no_weights.iterdir()) == []


def test_a_torn_file_is_named(published: Weights, no_weights: Path) -> None:
    no_weights.mkdir()
    (no_weights / "toy.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match=r"toy\.bin has sha256 \w{64}, but toy\.bin has"):
        find("toy")
    assert state("toy").startswith("wrong: ")


def test_an_unknown_sha256_is_checked_by_the_digits_in_the_name(
    no_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_weights.mkdir()
    for digits, fits in ((DIGEST[:8], True), ("0" * 8, False)):
        weights = Weights("toy", f"toy-{digits}.pth", UNKNOWN, "https://nowhere", "this test")
        monkeypatch.setitem(KNOWN_WEIGHTS, "toy", weights)
        (no_weights / weights.file).write_bytes(CONTENT)
        assert state("toy").startswith("present" if fits else "wrong")


def test_own_paths(published: Weights, tmp_path: Path) -> None:
    own = tmp_path / "own.bin"
    with pytest.raises(ValueError, match=r"own\.bin: no such file; it should be the file toy\.bin"):
        find("toy", own)
    own.write_bytes(b"my own")
    with pytest.raises(ValueError, match="another file"):
        find("toy", own)
    assert find("toy", own, sha256=sha256(b"my own").hexdigest()) == own
    with pytest.raises(ValueError, match="no weights called 'none'; known are inception"):
        find("none")


def test_another_file_with_the_same_tensors_is_used_where_present(
    no_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Weights(
        "other", "other.bin", sha256(b"other").hexdigest(), "https://nowhere/o", "this test"
    )
    weights = Weights("toy", "toy.bin", DIGEST, "https://nowhere/t", "this test", also=(other,))
    monkeypatch.setitem(KNOWN_WEIGHTS, "toy", weights)
    with pytest.raises(ValueError, match=f"file t .sha256 {DIGEST}. or o .sha256 {other.sha256}"):
        find("toy")
    no_weights.mkdir()
    (no_weights / "other.bin").write_bytes(b"other")
    assert find("toy") == no_weights / "other.bin"
    assert state("toy") == f"present ({no_weights / 'other.bin'})"
    (no_weights / "toy.bin").write_bytes(CONTENT)
    assert find("toy") == no_weights / "toy.bin"
    assert find("toy", no_weights / "other.bin") == no_weights / "other.bin"
    (no_weights / "other.bin").write_bytes(CONTENT[:3])
    with pytest.raises(
        ValueError, match=r"but toy\.bin has \w+ and other\.bin has \w+: it is torn"
    ):
        find("toy", no_weights / "other.bin")


def test_hugging_faces_cache_is_searched_wherever_it_is(
    no_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "models--someone--toy/snapshots/abc/model.bin"
    address = "https://huggingface.co/someone/toy/resolve/abc/model.bin"
    weights = Weights("toy", "toy.bin", DIGEST, address, "this test")
    monkeypatch.setitem(KNOWN_WEIGHTS, "toy", weights)
    for root in (tmp_path / "home" / ".cache" / "huggingface" / "hub", tmp_path / "hub"):
        (root / place).parent.mkdir(parents=True)
        (root / place).write_bytes(CONTENT)
        assert find("toy") == root / place


def test_a_safetensors_file_is_as_long_as_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    save_file({"a": torch.zeros(3), "b": torch.zeros(2, 2)}, path, {"made": "here"})
    check_whole(path)
    whole = path.read_bytes()
    for content, words in (
        (whole[:-1], "torn"),
        (whole + b"x", "torn"),
        (whole[:30], "torn, or not a safetensors file"),
        (b"", "torn, or not a safetensors file"),
        (b"<html>no such page</html>", "torn, or not a safetensors file"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words):
            check_whole(path)
        with pytest.raises(ValueError, match=words):
            own(path)
    (tmp_path / "some.pth").write_bytes(b"whatever")
    check_whole(tmp_path / "some.pth")


def test_a_digest_is_computed_once_for_an_unchanged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval.extractor import weights

    read, made = weights.sha256_of, []
    monkeypatch.setattr(weights, "sha256_of", lambda path: made.append(path) or read(path))
    path = tmp_path / "some.bin"
    path.write_bytes(CONTENT)
    assert digest(path) == digest(path) == DIGEST
    assert len(made) == 1
    path.write_bytes(CONTENT + b"!")
    assert digest(path) != DIGEST
    assert len(made) == 2
