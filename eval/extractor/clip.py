"""Image and caption features of any CLIP that open_clip knows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from eval.extractor.clip_weights import check_names, clip_weights
from eval.extractor.extractor import DistinctTexts, in_pieces
from eval.extractor.weights import digest, weights_of

_PIECE = 32
_TEXTS = 256


class OpenClip:
    """A CLIP of open_clip, by its names; images go through the model's own preprocessing.

    The network is loaded at its first use; missing weights fail at once.

    Args:
        model: open_clip's name of the architecture, such as "ViT-B-32".
        pretrained: open_clip's name of the weights, such as "laion2b_s34b_b79k"; they are
            searched in the zoo's cache and Hugging Face's.
        path: the weights' file instead; ``pretrained`` still says what they are.
        sha256: expected instead of the published file's, for weights of your own.
        download: fetch the weights if they are missing.
        device: where it computes.

    Raises:
        ValueError: open_clip does not know the names; the weights are missing, or of another
            sha256.
    """

    def __init__(
        self,
        model: str = "ViT-B-32",
        pretrained: str = "laion2b_s34b_b79k",
        path: str | Path | None = None,
        sha256: str | None = None,
        download: bool = False,
        device: str = "cpu",
    ) -> None:
        check_names(model, pretrained, has_file=path is not None)
        self.model = model
        self.pretrained = pretrained
        self.name = f"{model}/{pretrained}"
        self.device = device
        self.file = clip_weights(model, pretrained, path, sha256, download)
        self.sha256 = digest(self.file)
        self.text = DistinctTexts(self._encode)

    @functools.cached_property
    def network(self) -> Any:
        """open_clip's model, in evaluation mode."""
        import open_clip

        settings = open_clip.get_pretrained_cfg(self.model, self.pretrained) or {}
        keys = ("mean", "std", "interpolation", "resize_mode")
        with weights_of(self.model, self.file):
            network = open_clip.create_model(
                self.model,
                pretrained=str(self.file),
                force_quick_gelu=settings.get("quick_gelu", False),  # as OpenAI's weights need it
                force_preprocess_cfg={k: settings[k] for k in keys if k in settings},
                device=self.device,
            )
        return network.eval().requires_grad_(False)

    @property
    def resize(self) -> str:
        """How images reach the network, in words."""
        settings = self.network.visual.preprocess_cfg
        return (
            f"open_clip's preprocessing: {settings['interpolation']} {settings['resize_mode']} to "
            f"{settings['size']}; one channel is repeated three times"
        )

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """``pool`` (B, D) of uint8 images, in the captions' space and not normalised."""
        return in_pieces(images, _PIECE, self._features, self.name)

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        from torchvision.transforms.functional import to_pil_image

        inputs = torch.stack([self._preprocess(to_pil_image(image)) for image in images.cpu()])
        return {"pool": self.network.encode_image(inputs.to(self.device))}

    @functools.cached_property
    def _preprocess(self) -> Callable[[Any], Tensor]:
        from open_clip.transform import PreprocessCfg, image_transform_v2

        settings = PreprocessCfg(**self.network.visual.preprocess_cfg)
        transform: Callable[[Any], Tensor] = image_transform_v2(settings, is_train=False)
        return transform

    def _encode(self, captions: list[str]) -> Tensor:
        # open_clip's tokenizer keeps the end token of a caption longer than the context
        parts = [captions[i : i + _TEXTS] for i in range(0, len(captions), _TEXTS)]
        tower = _TextTower(self.network)
        return torch.cat([tower.features(self._tokenizer(part).to(self.device)) for part in parts])

    @functools.cached_property
    def _tokenizer(self) -> Callable[[list[str]], Tensor]:
        import open_clip

        tokenizer: Callable[[list[str]], Tensor] = open_clip.get_tokenizer(self.model)
        return tokenizer


class CroppedClip(OpenClip):
    """``OpenClip`` after a crop to the middle square, as in CMMD's own code.

    For square images the two are the same; open_clip resizes others first and crops afterwards.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name += "/cropped"

    @property
    def resize(self) -> str:
        return f"cropped to the middle square, then {super().resize}"

    @functools.cached_property
    def _preprocess(self) -> Callable[[Any], Tensor]:
        resize = super()._preprocess

        def crop(image: Image) -> Tensor:
            width, height = image.size
            side = min(width, height)
            left, top = (width - side) // 2, (height - side) // 2
            return resize(image.crop((left, top, left + side, top + side)))

        return crop


class _TextTower(nn.Module):
    """The text tower, over only as many positions as the batch's longest caption has.

    A causal tower's end token sees nothing after itself, so padding is not needed; a short caption
    then costs a tenth. Towers that see all positions are left as they are.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        mask = getattr(network, "attn_mask", None)
        at_end = getattr(network, "text_pool_type", None) in ("argmax", "eos")
        self.crops = at_end and mask is not None and _is_causal(mask)

    def features(self, tokens: Tensor) -> Tensor:
        """Features (B, D) of tokens (B, L)."""
        if not self.crops:
            return self.forward(tokens)
        length = int(tokens.argmax(dim=1).max()) + 1  # the end token is the largest
        cropped = {
            "network.positional_embedding": self.network.positional_embedding[:length],
            "network.attn_mask": self.network.attn_mask[:length, :length],
        }
        features: Tensor = torch.func.functional_call(self, cropped, (tokens[:, :length],))
        return features

    def forward(self, tokens: Tensor) -> Tensor:
        features: Tensor = self.network.encode_text(tokens)
        return features


def _is_causal(mask: Tensor) -> bool:
    later = torch.ones_like(mask, dtype=torch.bool).triu(1)
    return bool(mask[later].isneginf().all())
