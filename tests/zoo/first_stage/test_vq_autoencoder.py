from __future__ import annotations

import copy
import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from zoo.checkpoint import load, save
from zoo.draw import Draw
from zoo.first_stage import VQAutoencoder
from zoo.first_stage.quantizer import Codebook, codebook_usage
from zoo.part import config_of

ROOT = Path(__file__).parents[3]
_spec = importlib.util.spec_from_file_location("_formula", ROOT / "benchmarks" / "_formula.py")
assert _spec is not None and _spec.loader is not None
formula = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(formula)

SMALL: dict[str, Any] = dict(
    image_channels=1,
    latent_channels=2,
    channels=8,
    channel_mult=(1, 2),
    num_res_blocks=1,
    norm_groups=4,
    num_codes=12,
)


def images(count: int = 2, size: int = 8) -> torch.Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def small(**changes: Any) -> VQAutoencoder:
    torch.manual_seed(0)
    first_stage = VQAutoencoder(**{**SMALL, **changes})
    with torch.no_grad():  # at the scale of the latents, so that several codes are in use
        latents = first_stage.moments(images()).permute(0, 2, 3, 1).flatten(0, 2)
        first_stage.codebook.weight.copy_(1.1 * latents[: first_stage.num_codes])
    return first_stage


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (55_322_782, dict()),
        (53_219_486, dict(mid_attention=False)),
        (
            67_717_295,
            dict(
                latent_channels=4, channel_mult=(1, 2, 2, 4), attention_at=(8,), num_codes=16_384
            ),
        ),
        (
            67_652_783,
            dict(latent_channels=4, channel_mult=(1, 2, 2, 4), attention_at=(8,), num_codes=256),
        ),
        (
            69_593_371,
            dict(
                latent_channels=8, channel_mult=(1, 1, 2, 2, 4), attention_at=(16,),
                num_codes=16_384,
            ),
        ),
    ],
    ids=["vq-f4", "vq-f4-noattn", "vq-f8", "vq-f8-n256", "vq-f16"],
)  # fmt: skip
def test_published_parameter_counts(count: int, sizes: dict[str, Any]) -> None:
    with torch.device("meta"):
        network = VQAutoencoder(**sizes)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_the_codebook_is_the_references() -> None:
    golden = load_file(ROOT / "tests" / "golden" / "first_stage.safetensors")
    ours = Codebook(16, 3).double()
    with torch.no_grad():
        ours.weight.copy_(
            formula.weights({"embedding.weight": ours.weight.shape})["embedding.weight"]
        )
    latents = formula.values("latents", 2, 3, 4, 4).requires_grad_()
    quantized = ours(latents)
    (quantized.loss + (quantized.latents * formula.values("pull", 2, 3, 4, 4)).sum()).backward()
    assert len(golden["codebook.indices"].unique()) > 8
    assert torch.equal(quantized.indices, golden["codebook.indices"])
    close = dict(rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(quantized.latents, golden["codebook.latents"], **close)
    torch.testing.assert_close(quantized.loss, golden["codebook.loss"], **close)
    torch.testing.assert_close(latents.grad, golden["codebook.input_gradient"], **close)
    torch.testing.assert_close(ours.weight.grad, golden["codebook.weight_gradient"], **close)


def test_quantisation_is_the_nearest_code_in_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    codebook = Codebook(7, 3)
    latents = torch.randn(2, 3, 5, 4)
    rows = latents.permute(0, 2, 3, 1)
    expected = torch.cdist(rows.reshape(-1, 3), codebook.weight).argmin(1).view(2, 5, 4)
    assert torch.equal(codebook(latents).indices, expected)
    monkeypatch.setattr("zoo.first_stage.quantizer._DISTANCES", 21)  # three rows at a time
    assert torch.equal(codebook(latents).indices, expected)
    torch.testing.assert_close(codebook(latents).latents, codebook.look_up(expected))


def test_quantises_in_float32_under_autocast() -> None:
    first_stage = small()
    with torch.autocast("cpu", torch.bfloat16):
        moments = first_stage.moments(images())
        quantized = first_stage.codebook(moments)
    assert moments.dtype == torch.bfloat16
    assert quantized.latents.dtype == quantized.loss.dtype == torch.float32
    assert torch.equal(quantized.indices, first_stage.codebook(moments.float()).indices)


def test_usage() -> None:
    perplexity, used = codebook_usage(torch.tensor([[0, 1], [2, 3]]), 9)
    assert float(perplexity) == pytest.approx(4) and int(used) == 4
    perplexity, used = codebook_usage(torch.tensor([5, 5, 5, 1]), 9)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert float(perplexity) == pytest.approx(math.exp(entropy)) and int(used) == 2


def test_what_is_diffused_stands_before_the_quantisation() -> None:
    first_stage = small()
    first_stage.set_scale(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    before = first_stage.quant_conv(first_stage.encoder(images()))
    shift, scale = (torch.tensor(v).view(1, 2, 1, 1) for v in ([1.0, -2.0], [0.5, 3.0]))
    latents = first_stage.draw(first_stage.moments(images()), Draw(0, range(2), "posterior"))
    assert first_stage.latent_shape((1, 8, 8)) == (2, 4, 4) == tuple(latents.shape[1:])
    torch.testing.assert_close(latents, (before - shift) * scale)  # a draw adds nothing
    quantized = first_stage.codebook(before)
    assert len(quantized.indices.unique()) > 1
    expected = first_stage.decoder(first_stage.post_quant_conv(quantized.latents))
    torch.testing.assert_close(first_stage.decode(latents), expected)
    torch.testing.assert_close(first_stage.decode_indices(quantized.indices), expected)
    mean, variance = first_stage.mean_variance(before)
    assert torch.equal(mean, before) and not variance.any()


def test_gradients_reach_every_parameter() -> None:
    first_stage = small(attention_at=(2,))
    passed = first_stage.training_pass(images(), None)
    (passed.reconstruction.square().mean() + passed.penalties["codebook"]).backward()
    without = [n for n, p in first_stage.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert 1 < float(passed.figures["perplexity"]) <= float(passed.figures["codes_used"])


def test_copies_and_is_saved(tmp_path: Path) -> None:
    first_stage = small(z_channels=3, mid_attention=False)
    first_stage.set_scale(0.1, 2.0)
    expected = first_stage.decode(first_stage.draw(first_stage.moments(images())))
    assert config_of(first_stage)["_target_"] == "zoo.first_stage.vq_autoencoder.VQAutoencoder"
    loaded = load(save(first_stage, tmp_path / "vq.safetensors"))
    assert loaded.codebook.weight.shape == (12, 2)
    for other in (copy.deepcopy(first_stage), loaded):
        assert torch.equal(other.decode(other.draw(other.moments(images()))), expected)


def test_refuses_an_empty_codebook() -> None:
    with pytest.raises(ValueError, match="num_codes=0"):
        small(num_codes=0)
