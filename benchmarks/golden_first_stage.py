"""Outputs of the reference's codebook and losses, written for the tests to compare with.

    ZOO_REFERENCES=/path/with/checkouts python benchmarks/golden_first_stage.py

The path holds CompVis+taming-transformers and CompVis+latent-diffusion; they need einops.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from _formula import fill, values

REFERENCES = Path(os.environ.get("ZOO_REFERENCES", "."))
GOLDEN = Path(__file__).parents[1] / "tests" / "golden"


def codebook() -> dict[str, Tensor]:
    """VectorQuantizer2 of taming-transformers, with the beta placement that LDM trained with."""
    from taming.modules.vqvae.quantize import VectorQuantizer2

    theirs = fill(VectorQuantizer2(16, 3, beta=0.25))
    latents = values("latents", 2, 3, 4, 4).requires_grad_()
    codes, loss, (_, _, indices) = theirs(latents)
    (loss + (codes * values("pull", 2, 3, 4, 4)).sum()).backward()
    return {
        "codebook.latents": codes.detach(),
        "codebook.indices": indices.view(2, 4, 4),
        "codebook.loss": loss.detach(),
        "codebook.input_gradient": latents.grad,
        "codebook.weight_gradient": theirs.embedding.weight.grad,
    }


def small_lpips() -> torch.nn.Module:
    """taming-transformers' LPIPS with a narrow VGG16, and without a download."""
    from taming.modules.losses import lpips

    from zoo.first_stage.perceptual import LPIPS

    class Small(lpips.LPIPS):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.scaling_layer, self.chns = lpips.ScalingLayer(), [4, 8, 16, 32, 32]
            self.net = lpips.vgg16(pretrained=False)
            for index, channels in enumerate(self.chns):
                setattr(self, f"lin{index}", lpips.NetLinLayer(channels, use_dropout=True))

    narrow = SimpleNamespace(features=LPIPS(4).features)  # the same layers at the same places
    lpips.models = SimpleNamespace(vgg16=lambda pretrained: narrow)
    made = Small()
    scaling = {k: v.double() for k, v in made.scaling_layer.state_dict().items()}
    fill(made).scaling_layer.load_state_dict(scaling)
    return made.eval()


def losses() -> dict[str, Tensor]:
    """Both autoencoder losses of LDM, past and before the discriminator's start."""
    from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
    from ldm.modules.losses import contperceptual
    from taming.modules.discriminator.model import NLayerDiscriminator
    from taming.modules.losses import vqperceptual

    perceptual = small_lpips()
    contperceptual.LPIPS = vqperceptual.LPIPS = lambda: perceptual
    kl = contperceptual.LPIPSWithDiscriminator(3, 0.2, kl_weight=1e-3, disc_weight=0.5)
    vq = vqperceptual.VQLPIPSWithDiscriminator(3, disc_weight=0.75)
    images = values("images", 2, 3, 32, 32)
    found = {"lpips": perceptual(images, values("others", 2, 3, 32, 32)).flatten()}
    for name, loss in (("kl", kl), ("vq", vq)):
        loss.discriminator = fill(NLayerDiscriminator(3, 8, n_layers=2)).train()
        last = values("last", 3, 5, 3, 3).requires_grad_()
        reconstruction = torch.conv2d(values("hidden", 2, 5, 34, 34), last) / 5
        for step in (2, 3):
            if name == "kl":
                posterior = DiagonalGaussianDistribution(values("moments", 2, 4, 3, 3))
                arguments = (images, reconstruction, posterior)
            else:
                arguments = (torch.tensor(0.7).double(), images, reconstruction)
            total, log = loss.double()(*arguments, 0, step, last_layer=last)
            (gradient,) = torch.autograd.grad(total, last, retain_graph=True)
            opinion, _ = loss(*arguments, 1, step)
            key = f"{name}.{step}"
            found |= {f"{key}.loss": total.detach(), f"{key}.gradient": gradient}
            found |= {f"{key}.weight": log["train/d_weight"], f"{key}.opinion": log["train/g_loss"]}
            found[f"{key}.discriminator"] = opinion.detach()
            if step == 3:
                (gradient,) = torch.autograd.grad(opinion, loss.discriminator.main[2].weight)
                found[f"{key}.discriminator_gradient"] = gradient
    return {name: value.double().contiguous() for name, value in found.items()}


def main() -> None:
    for name in ("CompVis+taming-transformers", "CompVis+latent-diffusion"):
        sys.path.insert(0, str(REFERENCES / name))
    torch.set_grad_enabled(True)
    GOLDEN.mkdir(exist_ok=True)
    save_file({**codebook(), **losses()}, GOLDEN / "first_stage.safetensors")


if __name__ == "__main__":
    main()
