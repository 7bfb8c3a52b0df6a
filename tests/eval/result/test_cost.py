from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from eval.result.cost import cost
from zoo import DDPM, LatentDiffusion
from zoo.conditioner import ClassLabel, Unconditional
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.first_stage import KLAutoencoder
from zoo.performance.flops import flops, parameters
from zoo.sampler import DDIM
from zoo.schedule import Linear


def _by_hand(module, call):
    """Operations of every convolution and linear layer, from their outputs' shapes."""
    total = 0

    def count(layer, _, output):
        nonlocal total
        total += 2 * output.numel() * layer.weight[0].numel()

    kinds = (nn.Conv2d, nn.Linear)
    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, kinds)]
    call()
    for hook in hooks:
        hook.remove()
    return total


def test_attention_on_the_cpu_is_counted():
    q = torch.randn(2, 3, 16, 8)  # (B, heads, N, D): two products of N x N x D each
    counted = flops(lambda: F.scaled_dot_product_attention(q, q, q))
    assert counted == 2 * (2 * 2 * 3 * 16 * 16 * 8)


def test_a_unet_costs_its_layers_and_its_attention():
    net = UNet(1, 1, 8, (1, 2), 1, attention_at=(2,), num_classes=3, norm_groups=4)
    model = DDPM(net, GaussianDiffusion(Linear()), (1, 8, 8), DDIM(4), ClassLabel(3)).train()
    found = cost(model, torch.tensor([1]))
    x, t, label = torch.zeros(1, 1, 8, 8), torch.ones(1), model.conditioner(torch.tensor([1]))
    layers = _by_hand(net, lambda: net(x, t, label))
    attentions = sum(type(module).__name__ == "Attention" for module in net.modules())
    tokens, width = 4 * 4, 16
    assert attentions > 0
    assert found.per_evaluation == layers + attentions * 2 * 2 * tokens * tokens * width
    assert (found.decode, found.first_stage_parameters) == (0, 0)
    assert found.parameters == sum(p.numel() for p in net.parameters())
    assert model.training  # as it was
    assert model.network_evaluations == 0  # counting is not generating


def test_a_latent_models_decoder_is_counted_separately():
    first = KLAutoencoder(1, 2, 8, (1, 2), 1, mid_attention=False, norm_groups=4)
    net = UNet(2, 2, 8, (1, 2), 1, attention_at=(), norm_groups=4)
    model = LatentDiffusion(
        net, GaussianDiffusion(Linear()), first, (1, 8, 8), DDIM(4), Unconditional()
    )
    found = cost(model)
    z = torch.zeros(1, 2, 4, 4)
    assert found.decode == _by_hand(first, lambda: first.decode(z))
    assert found.first_stage_parameters == sum(p.numel() for p in first.parameters())
    assert found.parameters == sum(p.numel() for p in net.parameters())


def test_a_parameter_that_is_used_twice_counts_once():
    layer = nn.Linear(3, 3, bias=False)
    assert parameters(nn.Sequential(layer, layer)) == 9
    assert parameters(object()) == 0
