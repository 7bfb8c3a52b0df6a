"""The wiring of every diffusion model, and the only file that calls a denoiser. Read first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo import generation
from zoo.compatibility import check_condition, check_guidance, check_own_guidance, check_parts
from zoo.conditioner import Conditioner, Unconditional
from zoo.diffusion.clock import Clock, DiscreteClock, times
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.first_stage import FirstStage
from zoo.guidance import Guidance, Unguided
from zoo.recipe import Recipe
from zoo.records import Batch, Condition, Level, Prediction, Raw
from zoo.sampler import Sampler
from zoo.system.tensors import check_floats
from zoo.trainable import Draws, Trainable, latents

_WIDE = (torch.float32, torch.float64)


class DiffusionModule(Trainable):
    """A denoiser and the parts around it.

    Args:
        denoiser: an ``nn.Module`` called as ``denoiser(x, t, condition)``.
        diffusion: schedule, parameterization, variance and objective.
        first_stage: images to latents and back; the identity for pixel models.
        image_shape: (C, H, W) of the images.
        sampler: the default walk of ``generate``.
        conditioner: raw conditions to what the denoiser reads; ``Unconditional`` when None.
        guidance: the default guidance; ``Unguided`` when None.
        clock: a level to the network's own time; ``DiscreteClock`` when None.
        recipe: how to train; not part of a saved model.

    Raises:
        ValueError: the parts do not go together; the message names the remedy.
    """

    frozen_parts = ("first_stage",)

    def __init__(
        self,
        denoiser: nn.Module,
        diffusion: GaussianDiffusion,
        first_stage: FirstStage,
        image_shape: Sequence[int],
        sampler: Sampler,
        conditioner: Conditioner | None = None,
        guidance: Guidance | None = None,
        clock: Clock | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        self.check_kind(diffusion, first_stage, conditioner)
        super().__init__(recipe)
        self.denoiser = denoiser
        self.diffusion = diffusion
        self.first_stage = first_stage
        self.image_shape = list(image_shape)
        self.latent_shape: tuple[int, int, int] = first_stage.latent_shape(image_shape)
        self.sampler = sampler
        self.conditioner: Conditioner = conditioner if conditioner is not None else Unconditional()
        self.guidance: Guidance = guidance if guidance is not None else self.default_guidance()
        self.clock: Clock = clock if clock is not None else DiscreteClock()
        self._rows_evaluated = [0]  # in a list: setting a module's attribute takes microseconds
        if isinstance(first_stage, nn.Module):
            first_stage.requires_grad_(False).eval()
        check_parts(self)

    @classmethod
    def check_kind(
        cls, diffusion: GaussianDiffusion, first_stage: FirstStage, conditioner: Conditioner | None
    ) -> None:
        """Raises ValueError where a part is of another kind than this class is made for."""

    def default_guidance(self) -> Guidance:
        """The guidance when None is given."""
        return Unguided()

    # Prediction

    def predict(
        self, x: Tensor, t: float | Tensor | Level, condition: Condition | None = None
    ) -> Prediction:
        """Reads the denoiser at x (B, C, h, w) and a time: a number, a (B,) tensor or a ``Level``.

        x0 is not clipped. Counts the rows that the network evaluates in ``network_evaluations``.

        Raises:
            ValueError: x is no floats (B, C, h, w) on the model's device, or t is not of x.
        """
        check_floats(x, "noisy x", (None, self.latent_shape[0], None, None), self.device)
        if isinstance(t, Tensor) and tuple(t.shape) not in ((), (1,), (len(x),)):
            raise ValueError(f"t is a number or ({len(x)},) like x, got {tuple(t.shape)}")
        level = t if isinstance(t, Level) else self.diffusion.schedule(t)
        output = self._output(x, level, condition if condition is not None else Condition())
        return self.diffusion.predict(output, x, level)

    @property
    def network_evaluations(self) -> int:
        """The rows that the denoiser has evaluated since this was last set to 0."""
        return self._rows_evaluated[0]

    @network_evaluations.setter
    def network_evaluations(self, value: int) -> None:
        self._rows_evaluated[0] = value

    def _output(self, x: Tensor, level: Level, condition: Condition) -> Tensor:
        alpha, sigma = level.alpha, level.sigma
        if isinstance(alpha, Tensor):
            alpha, sigma = (v.to(x).reshape(-1, 1, 1, 1) for v in (alpha, sigma))
        self._rows_evaluated[0] += x.shape[0]
        network_input = self.diffusion.parameterization.input(x, alpha, sigma)
        output = self.denoiser(network_input, times(self.clock, level, x), condition)
        return output if output.dtype in _WIDE else output.float()

    # Training

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        size = len(batch)
        uniform = self.draw(size, "time").uniform()
        t, weight = self._recipe().time_sampler.sample(uniform, self.diffusion.schedule.end)
        losses = self._losses(batch, t, lambda purpose: self.draw(size, purpose), drop=True)
        self._recipe().time_sampler.update(t, losses["loss"].detach())
        weighted = weight.to(losses["loss"]) * losses["loss"]
        figures = {name: v.mean().detach() for name, v in losses.items() if name != "loss"}
        per_image = losses["loss"].detach()
        return {"loss": weighted.mean(), "t": t, "loss_per_image": per_image, "figures": figures}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.recipe is not None:  # a loaded model has none
            checkpoint["time_sampler"] = self.recipe.time_sampler.state_dict()
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.recipe is not None and (state := checkpoint.get("time_sampler")):
            self.recipe.time_sampler.load_state_dict(state)

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss with draws that are the same in every validation."""
        draws = self.validation_draws(batch, batch_idx)
        t = (draws("time").uniform() * self.diffusion.schedule.end).floor() + 1
        loss = self._losses(batch, t, draws, drop=False)["loss"].mean()
        self.log_validation({"validation/loss": loss}, len(batch))
        return loss

    def _losses(self, batch: Batch, t: Tensor, draws: Draws, drop: bool) -> dict[str, Tensor]:
        x0 = latents(self.first_stage, batch, draws)
        condition = self.conditioner(batch.condition, draws("dropout") if drop else None)
        noised = self.diffusion.noise(x0, t, draws("noise").normal(x0))
        output = self._output(noised.x, noised.level, condition.to(self.device))
        return self.diffusion.losses(noised, output)

    def save(
        self, path: str | Path, provenance: dict[str, Any] | None = None, **options: Any
    ) -> Path:
        """Writes weights, config and provenance into one file; see ``zoo.checkpoint.save``.

        Raises:
            ValueError: the default guidance holds another network, which the file would lack.
        """
        check_own_guidance(self.guidance)
        return super().save(path, provenance, **options)

    # Generation

    def generate(
        self,
        num_images: int,
        condition: Raw | Condition = None,
        sampler: Sampler | None = None,
        guidance: Guidance | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        *,
        indices: Sequence[int] | None = None,
        negative: Raw = None,
        on_step: Callable[[], None] | None = None,
    ) -> Tensor:
        """Makes images: uint8 (N, C, H, W) on the CPU.

        Every draw of image ``i`` (its label, first noise, each step's noise) comes from
        ``(seed, i)`` alone: the noise does not depend on batch size, shard or number of processes,
        and the pixels only by the network's rounding.

        Args:
            num_images: N.
            condition: N labels or captions, or a ``Condition``; drawn at random when None. An
                unconditional model hands labels on to a guidance that reads them, and takes none
                otherwise.
            sampler: in place of the model's own.
            guidance: in place of the model's own.
            seed: of every draw.
            batch_size: images at a time; all at once when None.
            indices: the images' global indices; 0 to N - 1 when None.
            negative: N raw conditions in place of the null condition, where guidance has one.
            on_step: called once after every step of the sampler, in each batch.

        Raises:
            ValueError: the counts disagree, the guidance needs what the model lacks, or nothing
                reads the condition or the negative one.
        """
        batches = self.generate_batches(
            num_images, condition, sampler, guidance, seed, batch_size,
            indices=indices, negative=negative, on_step=on_step,
        )  # fmt: skip
        empty = torch.empty(0, *self.image_shape, dtype=torch.uint8)
        return torch.cat([empty, *batches])

    generate_batches = generation.generate_batches

    def check_guidance(self, guidance: Guidance, negative: bool = False) -> None:
        """Raises ValueError where ``guidance`` needs what this model lacks."""
        check_guidance(self, guidance, negative)

    def check_condition(self, condition: Raw | Condition, guidance: Guidance) -> None:
        """Raises ValueError where neither this model nor ``guidance`` reads the condition."""
        check_condition(self, condition, guidance)

    def clip(self, x0: Tensor) -> Tensor:
        """x0 within the first stage's bounds, where it has any."""
        bounds = self.first_stage.bounds
        return x0 if bounds is None else x0.clamp(*bounds)

    # Likelihood

    def bits_per_dim(
        self,
        images: Tensor,
        condition: Raw | Condition = None,
        num_steps: int | None = None,
        seed: int = 0,
        *,
        indices: Sequence[int] | None = None,
    ) -> Tensor:
        """The variational bound on -log2 p(images), per dimension: (B,) float32.

        The total of ``bound``, which takes the same arguments and says what each is.
        """
        return self.bound(images, condition, num_steps, seed, indices=indices).total

    bound = generation.bound
