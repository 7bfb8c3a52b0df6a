"""First stages: between images and the space that is diffused."""

from zoo.first_stage.autoencoder import KLAutoencoder
from zoo.first_stage.first_stage import FirstStage
from zoo.first_stage.identity import Identity
from zoo.first_stage.vq_autoencoder import VQAutoencoder

__all__ = ["FirstStage", "Identity", "KLAutoencoder", "VQAutoencoder"]
