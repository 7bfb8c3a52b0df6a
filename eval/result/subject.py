"""What a result is about: a model with its sampler and guidance, or images alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class FirstStageRecord:
    """The autoencoder inside a latent model, with its cost."""

    sha256: str
    parameters: int
    images_seen: int | None = None
    training_seconds: float | None = None


@dataclass(frozen=True)
class GuidingNetwork:
    """A network that the guidance evaluates, beside the model's own.

    Attributes:
        name: what the guidance calls it: "classifier" or "weak".
        model: the class.
        sha256: of its file.
        parameters: how many it has.
        evaluations: per image, counted; each of a classifier's comes with a gradient.
    """

    name: str
    model: str
    sha256: str
    parameters: int
    evaluations: float


@dataclass(frozen=True)
class Subject:
    """The model or images that a result is about.

    Attributes:
        name: the row's name.
        model: the class.
        parameters: of the generating model without its first stage.
        flops_per_evaluation: of one network evaluation for one image.
        flops_decode: of the first stage's decoder for one image; 0 in pixel space.
        sampler: class and settings; None where nothing was generated here.
        grid: which times the sampler visits; None without a sampler.
        num_steps: of the sampler.
        network_evaluations: per image, counted: a guided step makes two. They include a weaker
            model's, but not a classifier's.
        guidance: class and settings; "none" for unguided, None where nothing was generated here.
        weights: "EMA" (with its length, where it is not the training's main one), "raw", or None
            where the file does not say.
        weights_sha256: of the checkpoint file.
        config_hash: sha256 of the resolved architecture config.
        training_seconds: of this model alone; None is "not recorded".
        first_stage: the autoencoder, or None for a pixel model.
        guidance_settings: all of them, resolved; a network by its file's sha256.
        guided_by: the networks of the guidance.
    """

    name: str
    model: str
    parameters: int
    flops_per_evaluation: int
    flops_decode: int
    sampler: str | None
    grid: str | None
    num_steps: int
    network_evaluations: float
    guidance: str | None
    weights: str | None = None
    weights_sha256: str | None = None
    config_hash: str | None = None
    training_seconds: float | None = None
    first_stage: FirstStageRecord | None = None
    guidance_settings: dict[str, Any] = field(default_factory=dict)
    guided_by: list[GuidingNetwork] = field(default_factory=list)
