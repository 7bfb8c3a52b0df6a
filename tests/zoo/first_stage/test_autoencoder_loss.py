from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoo.first_stage.autoencoder import kl_divergence
from zoo.first_stage.autoencoder_loss import KLAdversarialLoss, VQAdversarialLoss, adaptive_weight
from zoo.first_stage.discriminator import PatchDiscriminator
from zoo.first_stage.perceptual import LPIPS, lpips

ROOT = Path(__file__).parents[3]
_spec = importlib.util.spec_from_file_location("_formula", ROOT / "benchmarks" / "_formula.py")
assert _spec is not None and _spec.loader is not None
formula = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(formula)

CLOSE = dict(rtol=1e-10, atol=1e-12)


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(ROOT / "tests" / "golden" / "first_stage.safetensors")


def reference_name(ours: str) -> str:
    """taming-transformers' name of one of our weights."""
    if ours.startswith("linear."):
        return re.sub(r"linear\.(\d+)", r"lin\1.model.1", ours)
    if ours.startswith("layers."):
        return ours.replace("layers.", "main.")
    index = int(ours.split(".")[1])
    stage = sum(index >= first for first in (0, 4, 9, 16, 23))
    return ours.replace("features.", f"net.slice{stage}.")


def filled(module: torch.nn.Module) -> Any:
    shapes = {
        reference_name(name): value.shape
        for name, value in module.state_dict().items()
        if value.is_floating_point() and name not in ("shift", "scale")
    }
    drawn = formula.weights(shapes)
    state = module.double().state_dict()
    for name in state:
        state[name] = drawn.get(reference_name(name), state[name]) if "." in name else state[name]
    module.load_state_dict(state)
    return module


def test_lpips_is_the_references(golden: dict[str, torch.Tensor]) -> None:
    ours = LPIPS(4)
    scaling = {name: getattr(ours, name).double() for name in ("shift", "scale")}
    ours = filled(ours)
    torch.testing.assert_close(ours.shift, scaling["shift"])
    a, b = formula.values("images", 2, 3, 32, 32), formula.values("others", 2, 3, 32, 32)
    torch.testing.assert_close(ours(a, b), golden["lpips"], **CLOSE)
    assert not any(p.requires_grad for p in ours.parameters())


@pytest.mark.parametrize("step", [2, 3])
@pytest.mark.parametrize("kind", ["kl", "vq"])
def test_losses_are_the_references(golden: dict[str, torch.Tensor], kind: str, step: int) -> None:
    arguments = (filled(LPIPS(4)), filled(PatchDiscriminator(3, 8, 2)), 3)
    images = formula.values("images", 2, 3, 32, 32)
    last = formula.values("last", 3, 5, 3, 3).requires_grad_()
    reconstruction = torch.conv2d(formula.values("hidden", 2, 5, 34, 34), last) / 5
    loss: Any
    if kind == "kl":
        loss = KLAdversarialLoss(*arguments, weight=0.5, log_variance=0.2).double()
        penalty = 1e-3 * kl_divergence(formula.values("moments", 2, 4, 3, 3)).mean()
    else:
        loss = VQAdversarialLoss(*arguments, weight=0.75).double()
        penalty = torch.tensor(0.7).double()
    total, figures = loss.train().of_autoencoder(images, reconstruction, penalty, last, step)
    key = f"{kind}.{step}"
    torch.testing.assert_close(total, golden[f"{key}.loss"], **CLOSE)
    (gradient,) = torch.autograd.grad(total, last, retain_graph=True)
    torch.testing.assert_close(gradient, golden[f"{key}.gradient"], **CLOSE)
    if step < 3:
        assert "adaptive_weight" not in figures  # not heard yet
        assert golden[f"{key}.discriminator"] == 0
        return
    torch.testing.assert_close(figures["adaptive_weight"], golden[f"{key}.weight"], **CLOSE)
    torch.testing.assert_close(figures["generator"], golden[f"{key}.opinion"], **CLOSE)
    opinion, _ = loss.of_discriminator(images, reconstruction)
    torch.testing.assert_close(opinion, golden[f"{key}.discriminator"], **CLOSE)
    opinion.backward()
    gradient = loss.discriminator.layers[2].weight.grad
    torch.testing.assert_close(gradient, golden[f"{key}.discriminator_gradient"], **CLOSE)
    assert last.grad is None  # the discriminator's loss is not the autoencoder's


def test_the_adaptive_weight_is_bounded() -> None:
    last = torch.ones(3, requires_grad=True)
    ours, theirs = (last * 6.0).sum(), (last * 2.0).sum()
    expected = 6 * 3**0.5 / (2 * 3**0.5 + 1e-4)
    assert float(adaptive_weight(ours, theirs, last)) == pytest.approx(expected)
    assert float(adaptive_weight(ours, (last * 1e-9).sum(), last)) == pytest.approx(1e4)


def test_published_discriminator() -> None:
    with torch.device("meta"):
        discriminator = PatchDiscriminator()
        assert discriminator(torch.empty(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    assert sum(p.numel() for p in discriminator.parameters()) == 2_765_633


def test_lpips_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.first_stage.perceptual.LPIPS", lambda: LPIPS(2))
    source = LPIPS(2).state_dict()
    vgg = {k: v for k, v in source.items() if k.startswith("features.")}
    linear = {reference_name(k): v for k, v in source.items() if k.startswith("linear.")}
    torch.save({**vgg, "classifier.0.weight": torch.zeros(2)}, tmp_path / "vgg16.pth")
    save_file(linear, tmp_path / "vgg.safetensors")
    network = lpips(str(tmp_path / "vgg16.pth"), str(tmp_path / "vgg.safetensors"))
    for name, value in network.state_dict().items():
        assert torch.equal(value, source[name])
    with pytest.raises(ValueError, match=r"needs vgg_file, got None: .*vgg16-397923af\.pth"):
        lpips(None, str(tmp_path / "vgg.safetensors"))
    with pytest.raises(ValueError, match=r"needs linear_file, got /nowhere"):
        lpips(str(tmp_path / "vgg16.pth"), "/nowhere")
    with pytest.raises(ValueError, match=r"'lin0\.model\.1\.weight' should be .* got nothing"):
        lpips(str(tmp_path / "vgg16.pth"), str(tmp_path / "vgg16.pth"))


def test_the_whole_vgg16_has_torchvisions_names() -> None:
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        theirs = torchvision.models.vgg16().features.state_dict()
        ours = LPIPS().features.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_a_colourless_image_counts_as_grey() -> None:
    network = LPIPS(2)
    a, b = torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)
    expected = network(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1))
    torch.testing.assert_close(network(a, b), expected)
    assert (expected > 0).all() and not network(a, a).any()
