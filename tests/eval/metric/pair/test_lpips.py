from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from torchmetrics.functional.image.lpips import _LPIPS

from eval.extractor.weights import KNOWN_WEIGHTS
from eval.metric import PerceptualDistance
from eval.metric.pair import lpips as module
from eval.metric.pair.lpips import VGG, lpips, published
from eval.source.batch import Images
from zoo.checkpoint import sha256
from zoo.first_stage import perceptual


def images(count: int, channels: int = 3, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(size)
    shape = (2, count, channels, size, size)
    a, b = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return a, b


def test_equals_torchmetrics_on_random_vgg_and_published_linear_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # torchvision would fill 120 million weights of a classifier that LPIPS does not read
    monkeypatch.setattr(torch.nn.init, "normal_", lambda tensor, *args, **kwargs: tensor)
    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", lambda self: None)
    torch.manual_seed(0)
    theirs = _LPIPS(net="vgg", pnet_rand=True).eval()
    ours = perceptual.LPIPS()
    state = ours.state_dict()
    trunk = [value for name, value in theirs.net.state_dict().items()]
    features = [name for name in state if name.startswith("features.")]
    state |= dict(zip(features, trunk, strict=True))
    linear = [theirs.state_dict()[f"lin{i}.model.1.weight"] for i in range(5)]
    state |= {f"linear.{i}.weight": value for i, value in enumerate(linear)}
    ours.load_state_dict(state)
    for channels in (1, 3):
        a, b = images(2, channels)
        wide = [(2 * x.float() / 255 - 1).expand(-1, 3, -1, -1) for x in (a, b)]
        with torch.no_grad():
            expected = theirs(*wide).flatten()
        found = lpips(ours, a, b)
        assert (expected > 1e-3).all()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        assert lpips(ours, a, a).abs().max() == 0


def test_a_batch_in_pieces_is_the_batch() -> None:
    torch.manual_seed(0)
    network = perceptual.LPIPS(4)
    a, b = images(70, 1, 16)
    metric = PerceptualDistance(VGG(network, "ab" * 32, "cd" * 32))
    metric.update({}, Images(b, originals=a))
    each = torch.cat([lpips(network, a[i : i + 1], b[i : i + 1]) for i in range(70)])
    assert metric.compute()["lpips"] == pytest.approx(float(each.double().mean()), rel=1e-6)
    assert "sha256 " + "ab" * 32 in metric.description()
    assert "cd" * 32 in metric.description()


def test_what_vgg_cannot_take_is_refused() -> None:
    for shape in ((1, 3, 8, 32), (1, 4, 32, 32)):
        a = torch.zeros(shape, dtype=torch.uint8)
        with pytest.raises(ValueError, match="1 or 3 channels and at least 16x16"):
            lpips(perceptual.LPIPS(4), a, a)


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ZOO_CACHE", "TORCH_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path / "zoo_cache"


def test_weights_come_from_cache_or_path_with_their_sha256(
    tmp_path: Path, no_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    small = functools.partial(perceptual.LPIPS, width=4)
    state = small().state_dict()
    vgg = no_weights / "vgg16-397923af.pth"
    vgg.parent.mkdir()
    torch.save({name: v for name, v in state.items() if name.startswith("features.")}, vgg)
    linear = tmp_path / "vgg.pth"
    torch.save({f"lin{i}.model.1.weight": state[f"linear.{i}.weight"] for i in range(5)}, linear)
    with pytest.raises(ValueError, match="is torn or another"):
        published()
    entry = KNOWN_WEIGHTS["vgg16"]
    known = type(entry)("vgg16", entry.file, sha256(vgg), entry.address, "this test", "this test")
    monkeypatch.setitem(KNOWN_WEIGHTS, "vgg16", known)
    with pytest.raises(ValueError, match="is not LPIPS's linear layers: give linear_file="):
        published(linear_file=linear)
    monkeypatch.setattr(module, "LINEAR_SHA256", sha256(linear))
    monkeypatch.setattr(perceptual, "LPIPS", small)
    found = published(linear_file=linear)
    assert found.vgg_sha256 == sha256(vgg)
    for name, value in found.network.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)


def test_without_weights_the_error_says_where_to_put_them(no_weights: Path) -> None:
    with pytest.raises(ValueError) as error:
        published()
    assert f"{no_weights / 'vgg16-397923af.pth'}" in str(error.value)
    assert "https://download.pytorch.org/models/vgg16-397923af.pth" in str(error.value)


def test_torchmetrics_brings_the_linear_layers_along() -> None:
    assert sha256(module._torchmetrics_copy()) == module.LINEAR_SHA256
