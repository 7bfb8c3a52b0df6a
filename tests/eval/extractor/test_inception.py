from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from eval.extractor import CleanInception, Inception
from zoo.checkpoint import sha256


def random_network() -> Any:
    """torch-fidelity's own class, which insists on reading a file, with weights drawn anew."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):
        def load_state_dict(self, *args: Any, **kwargs: Any) -> None:
            pass

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    network = Unloaded("peer", ["2048", "logits_unbiased"], feature_extractor_weights_path=nothing)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias, module.running_mean):
                tensor.normal_(0.0, 0.1, generator=generator)
    return network


@pytest.fixture(scope="module")
def peer() -> Any:
    return random_network()


@pytest.fixture(scope="module")
def extractor(peer: Any, tmp_path_factory: pytest.TempPathFactory) -> Inception:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(peer.state_dict(), path)
    return Inception(path, sha256=sha256(path))


def test_features_are_torch_fidelitys(extractor: Inception, peer: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=generator)
    ours = extractor(images)
    pool, logits = peer(images)
    assert ours["pool"].shape == (3, 2048)
    assert ours["pool"].std(dim=0).mean() > 0.01  # the images differ in it
    for name, theirs in (("pool", pool), ("logits", logits)):
        assert (ours[name] - theirs).norm() <= 1e-6 * theirs.norm()
        assert (ours[name] - theirs).abs().max() <= 2e-6 * theirs.abs().max()


@pytest.mark.parametrize("shape", [(32, 32), (16, 28), (1, 64), (298, 299), (320, 256)])
def test_the_resize_is_tensorflows(extractor: Inception, shape: tuple[int, int]) -> None:
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x as resized,
    )

    images = torch.randint(0, 256, (2, 3, *shape), dtype=torch.uint8)
    theirs = resized(images.float(), size=(299, 299), align_corners=False)
    assert (extractor.resized(images) - theirs).abs().max() < 1e-3 / 4  # of 255


def test_spatial_features_are_the_first_channels_of_mixed_6(
    extractor: Inception, peer: Any
) -> None:
    seen: list[torch.Tensor] = []
    hook = peer.Mixed_6d.branch1x1.register_forward_hook(lambda *given: seen.append(given[2]))
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (2, 3, 20, 28), dtype=torch.uint8, generator=generator)
    peer(images)
    hook.remove()
    spatial = extractor(images)["spatial"]
    assert spatial.shape == (2, 2023) and seen[0].shape == (2, 192, 17, 17)
    want = seen[0][:, :7].flatten(1)
    assert (spatial - want).norm() <= 3e-6 * want.norm()


def test_clean_resize_is_clean_fids(extractor: Inception, peer: Any, tmp_path: Path) -> None:
    from cleanfid.resize import build_resizer

    path = tmp_path / "random.pth"
    torch.save(peer.state_dict(), path)
    clean = CleanInception(path, sha256=sha256(path))
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (2, 3, 24, 40), dtype=torch.uint8, generator=generator)
    resize = build_resizer("clean")
    want = torch.stack(
        [torch.from_numpy(resize(i.permute(1, 2, 0).numpy())).permute(2, 0, 1) for i in images]
    )
    assert torch.equal(clean.resized(images), want)
    ours, other = clean(images)["pool"], extractor(images)["pool"]
    assert (ours - other).norm() > 0.01 * other.norm()  # the resize matters


def test_grey_images_become_three_equal_channels_alone_or_in_a_batch(extractor: Inception) -> None:
    grey = torch.randint(0, 256, (2, 1, 16, 16), dtype=torch.uint8)
    together = extractor(grey)["pool"]
    alone = torch.cat([extractor(image[None].repeat(1, 3, 1, 1))["pool"] for image in grey])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_missing_weights_name_file_hash_place_and_address(no_weights: Path) -> None:
    with pytest.raises(ValueError, match="are missing") as refusal:
        Inception()
    message = str(refusal.value)
    for part in (
        "weights-inception-2015-12-05-6726825d.pth",
        "sha256 6726825d0af5f729",
        str(no_weights),
        "https://github.com/toshas/torch-fidelity/releases",
    ):
        assert part in message


def test_another_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights-inception-2015-12-05-6726825d.pth"
    path.write_bytes(b"torn")
    with pytest.raises(ValueError, match="torn or another file"):
        Inception(path)
    with pytest.raises(ValueError, match="not weights of FID's"):
        Inception(path, sha256=sha256(path))
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="not weights of FID's"):
        Inception(path, sha256=sha256(path))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "exploded",)

    path = tmp_path / "bomb.pth"
    torch.save({"weight": Bomb()}, path)
    with pytest.raises(ValueError, match="not weights of FID's"):
        Inception(path, sha256=sha256(path))
    assert not (tmp_path / "exploded").exists()


def test_bfloat16_is_optional_and_has_another_name(
    extractor: Inception, peer: Any, tmp_path: Path
) -> None:
    path = tmp_path / "random.pth"
    torch.save(peer.state_dict(), path)
    fast = Inception(path, sha256=sha256(path), dtype="bfloat16")
    assert (extractor.name, fast.name) == ("inception", "inception_bfloat16")
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    exact, rounded = extractor(images)["pool"], fast(images)["pool"]
    assert rounded.dtype == torch.float32
    assert 1e-5 < (rounded - exact).norm() / exact.norm() < 0.1
    with pytest.raises(ValueError, match="dtype is float32 or bfloat16, got 'half'"):
        Inception(path, dtype="half")
