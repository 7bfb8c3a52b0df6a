"""The discriminator of patches that LDM's autoencoders are trained against."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.layers.batch_norm import BatchNorm2d


class PatchDiscriminator(nn.Module):
    """Whether each patch of an image is real (PatchGAN, arXiv:1611.07004, as VQGAN has it).

    Args:
        image_channels: channels of the images.
        channels: width of the first layer; later ones have up to eight times as many.
        num_layers: layers that halve the resolution; one patch is 70 pixels wide with 3 of them.
    """

    def __init__(self, image_channels: int = 3, channels: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(image_channels, channels, 4, 2, 1), _leaky()]
        width = channels
        for level in range(1, num_layers + 1):
            before, width = width, channels * min(2**level, 8)
            stride = 2 if level < num_layers else 1
            layers += [
                nn.Conv2d(before, width, 4, stride, 1, bias=False),
                BatchNorm2d(width),
                _leaky(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, mean=1.0, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] to logits (B, 1, h, w), high where a patch looks real."""
        return self.layers(images)


def _leaky() -> nn.LeakyReLU:
    return nn.LeakyReLU(0.2)
