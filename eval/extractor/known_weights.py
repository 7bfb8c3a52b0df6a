"""The table of published weights: each file with its sha256, its address and its places.

Addresses and hashes come from the sources beside them; what no source says is ``UNKNOWN``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Weights:
    """One published file.

    Attributes:
        name: what extractors call it.
        file: its name in the zoo's cache.
        sha256: of its content, 64 hexadecimal digits, or ``UNKNOWN``.
        address: where it is published.
        source: what says so.
        sha256_source: what says its sha256, or ``UNKNOWN``.
        elsewhere: other places, relative to the home folder or absolute, where tools store it.
        serves: what is measured with it.
        also: other published files with the same tensors, used where they are present.
    """

    name: str
    file: str
    sha256: str
    address: str
    source: str
    sha256_source: str = UNKNOWN
    elsewhere: tuple[str, ...] = ()
    serves: str = ""
    also: tuple[Weights, ...] = ()

    @property
    def hub_copy(self) -> str | None:
        """Its place within Hugging Face's cache, if it is published there."""
        parts = re.fullmatch(r"https://huggingface.co/(.+?)/(.+?)/resolve/(.+?)/(.+)", self.address)
        return "models--{}--{}/snapshots/{}/{}".format(*parts.groups()) if parts else None


KNOWN_WEIGHTS: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            name="inception",
            file="weights-inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            address="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            source="URL_INCEPTION_V3 in torch_fidelity/feature_extractor_inceptionv3.py of "
            "torch-fidelity 0.4.0",
            # The eight digits in the name are a prefix of it, as torch.hub names files.
            sha256_source="_MODEL_URL_SHA256 in models/inception_model.py of "
            "github.com/snap-research/discoscene at 3b15039, for pytorch-fid's file of that name",
            elsewhere=(
                ".cache/torch/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth",
                ".cache/torch/hub/checkpoints/pt_inception-2015-12-05-6726825d.pth",
            ),
            serves="FID, KID, Inception Score, sFID, precision and recall",
        ),
        Weights(
            name="ViT-B-32/laion2b_s34b_b79k",
            serves="CLIP score",
            file="ViT-B-32-laion2b_s34b_b79k.safetensors",
            sha256="ac4f8c4b88af6d963118cbf40ad93176d092abbedfcb752601ae1866352656e6",
            address="https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/"
            "1a25a446712ba5ee05982a381eed697ef9b435cf/open_clip_model.safetensors",
            source="_VITB32 in open_clip/pretrained.py of open_clip_torch 3.3.0 (the repository)",
            sha256_source="OPENCLIP_MODEL_SHA256 (and revision) in src/dsvire/visual_adapters.py "
            "of github.com/TokitoAI/tokito-dsvire at ab8a116",
        ),
        Weights(
            name="ViT-B-32/openai",
            serves="CLIP-FID, CLIPScore",
            file="ViT-B-32-openai.safetensors",
            sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
            address="https://huggingface.co/timm/vit_base_patch32_clip_224.openai/resolve/"
            "a6f597a30f7b82c51704746581f9a4e41421e878/open_clip_model.safetensors",
            source="_VITB32 in open_clip/pretrained.py of open_clip_torch 3.3.0 (the repository)",
            sha256_source="SHA256 (and REVISION) in scripts/fetch_weights.py of "
            "github.com/nilubhatt/campaign-poc at 0cf5b86",
        ),
        Weights(
            name="ViT-L-14-336/openai",
            serves="CMMD",
            file="ViT-L-14-336-openai.safetensors",
            sha256="fbc415c3d0d7b79faed8f5ccfb740c32b7c4f5ffe7283b851f89c6231c01a8e0",
            address="https://huggingface.co/timm/vit_large_patch14_clip_336.openai/resolve/"
            "81e38efc4637de5023b10e75a7f9bd1c6fa6b010/open_clip_model.safetensors",
            source="_VITL14_336 in open_clip/pretrained.py of open_clip_torch 3.3.0 (the "
            "repository)",
            sha256_source="CLIP_SHA (and CLIP_REV) in download_models.sh of forks of EDM2 with "
            "combra's metrics; BACKBONE_SHA256 beside the same revision in users of "
            "github.com/7HHHHH/VisualAD",
        ),
        Weights(
            name="dinov2",
            serves="FD-DINOv2",
            file="dinov2-large.safetensors",
            sha256="399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
            address="https://huggingface.co/facebook/dinov2-large/resolve/"
            "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c/model.safetensors",
            source="docs/overview/available_models/image.md of "
            "github.com/embeddings-benchmark/mteb (the repository and its revision)",
            sha256_source="ARMS (with the revision) in research/v3/oracle/embeddings/config.py of "
            "github.com/Sheraff/palette at 29eb439",
            also=(
                Weights(
                    name="dinov2 of torch.hub",
                    file="dinov2_vitl14_pretrain.pth",
                    sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
                    address="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/"
                    "dinov2_vitl14_pretrain.pth",
                    source="dinov2/hub/backbones.py of github.com/facebookresearch/dinov2",
                    sha256_source="what ChimpStackr's alignment and others that load it with "
                    "RoMa's matcher expect of torch.hub's file",
                ),
            ),
        ),
        Weights(
            name="vgg16",
            serves="LPIPS",
            file="vgg16-397923af.pth",
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            address="https://download.pytorch.org/models/vgg16-397923af.pth",
            source="VGG16_Weights.IMAGENET1K_V1 in torchvision/models/vgg.py of torchvision 0.29",
            sha256_source="_weights_configs in primitives/cnn/cnn.py of "
            "github.com/plai-group/ubc_primitives at 03c3371",
        ),
    )
}
