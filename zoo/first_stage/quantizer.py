"""A codebook: latents to the nearest of K learned vectors (VQ-VAE, arXiv:1711.00937)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.system.processes import total

_DISTANCES = 1 << 26  # held at once: 256 MB in float32


class Quantized(NamedTuple):
    """Latents after quantisation.

    Attributes:
        latents: (B, C, h, w), the nearest codes; their gradient passes straight to the input.
        indices: (B, h, w) int64, which code it was.
        loss: the codebook and commitment loss, a number.
    """

    latents: Tensor
    indices: Tensor
    loss: Tensor


class Codebook(nn.Module):
    """Vector quantisation as LDM's VQ models were trained with it.

    The loss is ``|sg(code) - z|^2 + beta |code - sg(z)|^2``: beta stands with the codebook term and
    not, as the paper has it, with the commitment term. taming-transformers publishes its models
    with this placement, by its own account a mistake kept for compatibility.

    Args:
        num_codes: K.
        dim: width of a code, the latents' channels.
        beta: weight of the codebook term.

    Raises:
        ValueError: there are no codes.
    """

    def __init__(self, num_codes: int, dim: int, beta: float = 0.25) -> None:
        super().__init__()
        if num_codes < 1:
            raise ValueError(f"a codebook needs codes, got num_codes={num_codes}")
        self.num_codes, self.beta = num_codes, beta
        self.weight = nn.Parameter(torch.empty(num_codes, dim).uniform_(-1, 1) / num_codes)

    def forward(self, latents: Tensor) -> Quantized:
        """Latents (B, C, h, w), computed in float32 at least."""
        z = latents.to(torch.promote_types(latents.dtype, torch.float32))
        with torch.autocast(latents.device.type, enabled=False):
            rows = z.permute(0, 2, 3, 1)
            indices = self.nearest(rows.reshape(-1, rows.shape[-1])).view(rows.shape[:-1])
            codes = self.look_up(indices).to(z.dtype)
            commitment = (codes.detach() - z).square().mean()
            loss = commitment + self.beta * (codes - z.detach()).square().mean()
        return Quantized(z + (codes - z).detach(), indices, loss)

    def look_up(self, indices: Tensor) -> Tensor:
        """The codes (B, C, h, w) of indices (B, h, w)."""
        return nn.functional.embedding(indices, self.weight).permute(0, 3, 1, 2)

    @torch.no_grad()
    def nearest(self, rows: Tensor) -> Tensor:
        """Index of the nearest code, (N,) int64, for rows (N, C)."""
        codes = self.weight.to(rows.dtype)
        squares = codes.square().sum(1)
        indices = [
            (part.square().sum(1, keepdim=True) + squares - 2 * part @ codes.T).argmin(1)
            for part in rows.split(max(1, _DISTANCES // self.num_codes))
        ]
        return torch.cat(indices) if indices else rows.new_empty(0, dtype=torch.long)


def codebook_usage(indices: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    """Perplexity of the codes in use, 1 to ``num_codes``, and how many different ones there are.

    Of the batch of all processes: every process calls it.
    """
    counts = total(torch.bincount(indices.flatten(), minlength=num_codes)).float()
    share = counts / counts.sum()
    return (-torch.xlogy(share, share).sum()).exp(), (counts > 0).sum()
