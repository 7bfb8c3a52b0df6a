from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from eval.extractor.weights import KNOWN_WEIGHTS, UNKNOWN, Weights, find, state

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
        assert weights.name == name
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
    with pytest.raises(ValueError, match="download=true fetches"):
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
