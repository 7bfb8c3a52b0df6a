"""Networks that tell classes apart at any noise level."""

from zoo.classifier.encoder_unet import EncoderUNet
from zoo.classifier.pool import AdaptivePool, AttentionPool, SpatialPool

__all__ = ["AdaptivePool", "AttentionPool", "EncoderUNet", "SpatialPool"]
