"""The variational bound on -log2 p(x0), term by term (DDPM, eq. 5)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from zoo.diffusion.posterior import variance_floor
from zoo.draw import Draw
from zoo.records import Level, Predict

if TYPE_CHECKING:
    from zoo.diffusion.gaussian import GaussianDiffusion


class Bound(NamedTuple):
    """The terms, in bits per dimension of 8-bit data.

    Attributes:
        prior: KL of the noisiest level from N(0, 1), (B,): nothing of it can be trained.
        steps: KL of each true from the predicted step, (B, N - 1), the noisiest first.
        decoder: the last step's negative log-likelihood of the 8-bit values, (B,).
        mse: of x0 at each of the N levels, (B, N), the noisiest first.
    """

    prior: Tensor
    steps: Tensor
    decoder: Tensor
    mse: Tensor

    @property
    def total(self) -> Tensor:
        """Bits per dimension, (B,): summed in float64, for there may be thousands of terms."""
        return (self.prior.double() + self.steps.double().sum(1) + self.decoder.double()).to(
            self.prior.dtype
        )


def variational_bound(
    diffusion: GaussianDiffusion, predict: Predict, x0: Tensor, levels: list[Level], draw: Draw
) -> Bound:
    """Walks a chain, with one draw of noise at each level.

    Args:
        diffusion: whose schedule the levels are of.
        predict: noisy x and its level in, a prediction with x0 clipped out.
        x0: 8-bit data as (B, C, H, W) in [-1, 1].
        levels: descending to clean; any chain of the schedule's (Improved DDPM, section 4).
        draw: the noise, one stream per image.

    Raises:
        ValueError: the chain does not end clean: there is no decoder term then.
    """
    if levels[-1].sigma != 0:
        raise ValueError(f"the bound needs a chain that ends at t = 0, got t = {levels[-1].t:g}")
    floor = variance_floor(levels)
    terms, errors = [], []
    for now, to in pairwise(levels):
        x = (x0 * now.alpha).add_(draw.normal(x0), alpha=now.sigma)
        prediction = predict(x, now)
        terms.append(diffusion.vlb_term(x0, prediction, now, to, floor))
        errors.append((prediction.x0 - x0).square().flatten(1).mean(1))
    return Bound(
        prior=diffusion.prior_term(x0, levels[0]),
        steps=torch.stack([x0.new_zeros(len(x0)), *terms[:-1]], dim=1)[:, 1:],
        decoder=terms[-1],
        mse=torch.stack(errors, dim=1),
    )
