from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn

from zoo.denoiser import UNet
from zoo.part import config_of
from zoo.records import Condition

DDPM = dict(norm_eps=1e-6, asymmetric_padding=True, sine_first=True, frequency_shift=1)
ADM = dict(
    head_channels=64, scale_shift_norm=True, resblock_updown=True, num_classes=1000, out_channels=6
)
SMALL: dict[str, Any] = dict(
    in_channels=3,
    out_channels=3,
    channels=16,
    channel_mult=(1, 2),
    num_res_blocks=1,
    attention_at=(2,),
    norm_groups=4,
)
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ddpm": DDPM,
    "adm": dict(scale_shift_norm=True, resblock_updown=True, head_channels=8, num_classes=5),
    "text": dict(context_dim=6, num_heads=2, transformer_depth=2),
}


def small(variant: str = "plain", **changes: Any) -> UNet:
    """A network with all weights drawn: those that begin at zero would hide whole branches."""
    network = UNet(**SMALL | VARIANTS[variant] | changes)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.2
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)
    return network


def inputs(network: UNet, size: int = 8) -> tuple[torch.Tensor, torch.Tensor, Condition]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.tensor([0, 4]) if network.num_classes else None
    tokens = torch.randn(2, 3, 6, generator=generator) if network.context_dim else None
    x = torch.randn(2, network.in_channels, size, size, generator=generator)
    return x, torch.tensor([0.0, 731.5]), Condition(vector=labels, tokens=tokens)


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        # counted on the published weights
        (35_746_307, dict(attention_at=(2,), **DDPM)),
        (113_673_219, dict(channel_mult=(1, 1, 2, 2, 4, 4), attention_at=(16,), **DDPM)),
        (
            52_546_438,
            dict(
                out_channels=6,
                num_res_blocks=3,
                attention_at=(2, 4),
                num_heads=4,
                scale_shift_norm=True,
            ),
        ),
        (
            273_049_350,
            dict(
                out_channels=6,
                channels=192,
                channel_mult=(1, 2, 3, 4),
                num_res_blocks=3,
                attention_at=(4, 8),
                num_heads=4,
                scale_shift_norm=True,
                num_classes=1000,
            ),
        ),
        (
            553_838_086,
            dict(channels=256, channel_mult=(1, 1, 2, 2, 4, 4), attention_at=(8, 16, 32), **ADM),
        ),
        (
            558_997_638,
            dict(
                channels=256, channel_mult=(0.5, 1, 1, 2, 2, 4, 4), attention_at=(16, 32, 64), **ADM
            ),
        ),
        (
            274_056_163,
            dict(channels=224, channel_mult=(1, 2, 3, 4), attention_at=(2, 4, 8), head_channels=32),
        ),
        (
            400_920_579,
            dict(channels=192, channel_mult=(1, 2, 3, 5), attention_at=(2, 4, 8), context_dim=512),
        ),
        (
            859_520_964,
            dict(
                in_channels=4,
                out_channels=4,
                channels=320,
                channel_mult=(1, 2, 4, 4),
                attention_at=(1, 2, 4),
                num_heads=8,
                context_dim=768,
            ),
        ),
    ],
    ids=[
        "ddpm-cifar",
        "ddpm-256",
        "iddpm-cifar",
        "iddpm-64",
        "adm-256",
        "adm-512",
        "ldm-celeba",
        "ldm-cin",
        "sd",
    ],
)
def test_published_parameter_counts(count: int, sizes: dict[str, Any]) -> None:
    with torch.device("meta"):
        network = UNet(**dict(in_channels=3, out_channels=3) | sizes)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_begins_at_zero() -> None:
    network = UNet(**SMALL)
    assert network(*inputs(network)).abs().max() == 0
    for level in network.down:
        x = torch.randn(1, 16, 4, 4)
        if level.blocks[0].norm1.num_channels == level.blocks[0].norm2.num_channels:
            assert torch.equal(level.blocks[0](x, torch.randn(1, 64)), x)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_reach_every_parameter(variant: str) -> None:
    network = small(variant)
    network(*inputs(network)).square().sum().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_checkpointing_changes_memory_but_not_gradients(variant: str) -> None:
    def run(gradient_checkpointing: bool) -> tuple[list[torch.Tensor], int]:
        network = small(variant, gradient_checkpointing=gradient_checkpointing, dropout=0.3)
        held: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        torch.manual_seed(5)  # the same dropout, in the recomputation too
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = network(*inputs(network, 16)).square().sum()
        weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
        size = sum(nbytes for pointer, nbytes in held.items() if pointer not in weights)
        loss.backward()
        return [p.grad for p in network.parameters() if p.grad is not None], size

    (plain, much), (recomputed, little) = run(False), run(True)
    assert len(plain) == len(recomputed)
    for one, other in zip(plain, recomputed, strict=True):
        torch.testing.assert_close(one, other)
    assert little < 0.5 * much


def test_time_and_condition_matter_row_by_row() -> None:
    network = small("adm").eval()
    x, t, condition = inputs(network)
    with torch.no_grad():
        both = network(x, t, condition)
        for row in range(2):
            rows = slice(row, row + 1)
            alone = network(x[rows], t[rows], condition[rows])
            torch.testing.assert_close(alone, both[rows], rtol=1e-4, atol=1e-5)
        assert (network(x, t + 1, condition) - both).abs().max() > 1e-3
        other = Condition(vector=torch.tensor([1, 4]))
        assert (network(x, t, other) - both)[0].abs().max() > 1e-3


def test_a_float_vector_is_added_like_a_label() -> None:
    network = small("adm").eval()
    x, t, condition = inputs(network)
    rows = Condition(vector=network.label_embedding(condition.vector))
    torch.testing.assert_close(network(x, t, rows), network(x, t, condition))


def test_an_image_is_concatenated() -> None:
    network = small(in_channels=5)
    x, t, _ = inputs(network)
    given = network(x[:, :3], t, Condition(image=x[:, 3:]))
    torch.testing.assert_close(given, network(x, t))


def test_context_is_seen_and_padding_is_not() -> None:
    network = small("text").eval()
    x, t, condition = inputs(network)
    tokens = condition.tokens
    assert tokens is not None
    padded = torch.cat([tokens, torch.full((2, 4, 6), 7.0)], dim=1)
    mask = torch.arange(7).expand(2, 7) < 3
    with torch.no_grad():
        expected = network(x, t, condition)
        masked = network(x, t, Condition(tokens=padded, mask=mask))
        unmasked = network(x, t, Condition(tokens=padded))
    torch.testing.assert_close(masked, expected, rtol=1e-4, atol=1e-5)
    assert (unmasked - expected).abs().max() > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_channels_last_computes_the_same(variant: str) -> None:
    network = small(variant).eval()
    x, t, condition = inputs(network)
    with torch.no_grad():
        expected = network(x, t, condition)
        other = copy.deepcopy(network).to(memory_format=torch.channels_last)
        output = other(x.contiguous(memory_format=torch.channels_last), t, condition)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    assert output.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16(variant: str) -> None:
    network = small(variant).eval()
    x, t, condition = inputs(network)
    with torch.no_grad():
        expected = network(x, t, condition)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(x, t, condition)
        pure = copy.deepcopy(network).bfloat16()(x, t, condition)
    for output in (mixed, pure):
        assert output.dtype == torch.bfloat16
        assert (output.float() - expected).abs().mean() < 0.03 * expected.abs().mean()


def test_activations_stay_in_bfloat16_under_autocast() -> None:
    network = small("adm")
    dtypes = set()
    for module in network.modules():
        if isinstance(module, nn.GroupNorm | nn.Conv2d):
            module.register_forward_hook(lambda _, __, output: dtypes.add(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(*inputs(network))
    assert dtypes == {torch.bfloat16}


@pytest.mark.parametrize("variant", VARIANTS)
def test_copies_pickles_and_is_written_down(variant: str) -> None:
    network = small(variant).eval()
    expected = network(*inputs(network))
    assert torch.equal(copy.deepcopy(network)(*inputs(network)), expected)
    buffer = io.BytesIO()
    torch.save(network, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=False)(*inputs(network)), expected)
    config = config_of(network)
    assert config.pop("_target_") == "zoo.denoiser.unet.UNet"
    again = UNet(**config).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(*inputs(network)), expected)
    assert config_of(again) == config_of(network)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(attention_at=(4,)), r"possible are \[1, 2\]"),
        (dict(norm_groups=5), "norm_groups=5 does not divide a width of 16"),
        (dict(head_channels=12), "head_channels=12 does not divide"),
        (dict(num_heads=5), "5 attention heads do not divide 32"),
        (dict(channels=15, norm_groups=1), "channels must be even"),
        (dict(channel_mult=()), "channel_mult"),
    ],
)
def test_refuses_impossible_sizes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UNet(**SMALL | changes)


def test_refuses_impossible_inputs() -> None:
    network = small("adm", num_classes=10)
    x, t, condition = inputs(network)
    for side, nearest in ((7, "6x6 or 8x8"), (1, "2x2")):
        with pytest.raises(ValueError, match=f"multiples of 2, such as {nearest}"):
            network(x[:, :, :side, :side], t, condition)
    with pytest.raises(ValueError, match="takes 3 channels .* got 2"):
        network(x[:, :2], t, condition)
    for label in (-1, 10):
        with pytest.raises(ValueError, match=rf"labels must lie in \[0, 9\], got .*{label}"):
            network(x, t, Condition(vector=torch.tensor([3, label])))
    with pytest.raises(ValueError, match="labels in condition.vector"):
        network(x, t)
    with pytest.raises(ValueError, match=r"must be \(B, 64\), got \(2, 3\)"):
        network(x, t, Condition(vector=torch.zeros(2, 3)))
    with pytest.raises(ValueError, match="no tokens, got"):
        network(x, t, Condition(vector=condition.vector, tokens=torch.zeros(2, 1, 6)))
    with pytest.raises(ValueError, match="tokens 6 wide, got none"):
        small("text")(x, t)
    with pytest.raises(ValueError, match=r"tokens 6 wide, got \(2, 1, 5\)"):
        small("text")(x, t, Condition(tokens=torch.zeros(2, 1, 5)))
    with pytest.raises(ValueError, match="takes no labels"):
        small()(x, t, condition)


def test_compiles_as_one_graph() -> None:
    network = small("adm").eval()
    x, t, condition = inputs(network)
    with torch.no_grad():
        expected = network(x, t, condition)
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x, t, condition), expected)


def test_is_computed_in_double_when_asked() -> None:
    network = small().double().eval()
    x, t, _ = inputs(network)
    with torch.no_grad():
        output = network(x.double(), t.double())
        single = network.float()(x, t)
    assert output.dtype == torch.float64
    torch.testing.assert_close(single.double(), output, rtol=1e-4, atol=1e-4)
