"""Outputs of latent diffusion's and the DDPM port's networks, for the tests to compare with.

    ZOO_REFERENCES=/path/with/checkouts python benchmarks/golden_compvis.py

The path holds CompVis+latent-diffusion, CompVis+taming-transformers (both need einops) and
pesser+pytorch_diffusion.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from _golden import TIMES, Writer, ddpm_time_embedding, time_embedding

REFERENCES = Path(os.environ.get("ZOO_REFERENCES", "."))
UNET = dict(
    image_size=8, in_channels=3, out_channels=3, model_channels=32, num_res_blocks=1,
    attention_resolutions=[2, 1], channel_mult=[1, 2],
)  # fmt: skip
UNETS = {
    "unet_heads_by_width": UNET | dict(num_head_channels=16),
    "unet_churches": UNET | dict(
        channel_mult=[1, 2, 2], num_heads=4, use_scale_shift_norm=True, resblock_updown=True,
        num_res_blocks=2,
    ),
    "unet_transformer_one_head": UNET | dict(
        num_heads=1, use_spatial_transformer=True, transformer_depth=1, context_dim=24,
    ),
    "unet_transformer_deep": UNET | dict(
        num_head_channels=16, use_spatial_transformer=True, transformer_depth=2, context_dim=24,
    ),
    "unet_stable_diffusion": UNET | dict(
        num_heads=8, use_spatial_transformer=True, transformer_depth=1, context_dim=24,
        use_checkpoint=True, legacy=False, attention_resolutions=[1],
    ),
    "unet_classes_concatenated": UNET | dict(num_heads=2, num_classes=7, in_channels=5),
}  # fmt: skip
DDCONFIG = dict(
    double_z=True, z_channels=4, resolution=16, in_channels=3, out_ch=3, ch=32, ch_mult=[1, 2],
    num_res_blocks=1, attn_resolutions=[], dropout=0.0,
)  # fmt: skip
AUTOENCODERS = {
    "kl": dict(embed_dim=4, ddconfig=DDCONFIG),
    "kl_attention_narrow": dict(
        embed_dim=2, ddconfig=DDCONFIG | dict(attn_resolutions=[8], ch_mult=[1, 1, 2])
    ),
    "vq": dict(embed_dim=3, n_embed=32, ddconfig=DDCONFIG | dict(double_z=False, z_channels=3)),
    "vq_attention": dict(
        embed_dim=4, n_embed=16,
        ddconfig=DDCONFIG | dict(double_z=False, attn_resolutions=[8, 16]),
    ),
    "vq_no_attention": dict(
        embed_dim=3, n_embed=16,
        ddconfig=DDCONFIG | dict(double_z=False, z_channels=3, attn_type="none"),
    ),
}  # fmt: skip
MODEL = dict(
    ch=32, out_ch=3, ch_mult=[1, 2, 2], num_res_blocks=2, attn_resolutions=[8], in_channels=3,
    resolution=16, dropout=0.1,
)  # fmt: skip


def run_unet(network: nn.Module, given: dict[str, Tensor]) -> Tensor:
    labels = torch.tensor([1, 6]) if network.num_classes else None
    t = torch.tensor(TIMES, dtype=given["x"].dtype)
    return network(given["x"], t, context=given.get("context"), y=labels)


def run_model(network: nn.Module, given: dict[str, Tensor]) -> Tensor:
    return network(given["x"], torch.tensor(TIMES, dtype=given["x"].dtype))


def encoded(network: Any, given: dict[str, Tensor]) -> Tensor:
    return network.quant_conv(network.encoder(given["x"]))


def decoded(network: Any, given: dict[str, Tensor]) -> Tensor:
    z = given["z"]
    if hasattr(network, "quantize"):
        z, _, _ = network.quantize(z)
    return network.decoder(network.post_quant_conv(z))


def built(config: dict[str, Any]) -> nn.Module:
    """AutoencoderKL or VQModelInterface with nothing to train it by."""
    models = importlib.import_module("ldm.models.autoencoder")
    params = {**config, "lossconfig": {"target": "torch.nn.Identity"}}
    kind = models.VQModelInterface if "n_embed" in config else models.AutoencoderKL
    return kind(**params)


def stub_lightning() -> None:
    """The autoencoders are LightningModules, of which nothing is used here."""
    module: Any = types.ModuleType("pytorch_lightning")
    module.LightningModule = nn.Module
    sys.modules["pytorch_lightning"] = module


def main() -> None:
    stub_lightning()
    for name in ("CompVis+taming-transformers", "CompVis+latent-diffusion"):
        sys.path.insert(0, str(REFERENCES / name))
    openai = importlib.import_module("ldm.modules.diffusionmodules.openaimodel")
    writer = Writer()
    embedding = ((openai, "timestep_embedding", time_embedding),)
    for name, config in UNETS.items():
        shapes = {"x": [2, config["in_channels"], 8, 8]}
        if "context_dim" in config:
            shapes["context"] = [2, 5, 24]
        whole = {"params": config, "inputs": shapes}
        if "num_classes" in config:
            whole["labels"] = [1, 6]
        writer.add(name, whole, openai.UNetModel(**config), run_unet, embedding)
    for name, config in AUTOENCODERS.items():
        network, factor = built(config), 2 ** (len(config["ddconfig"]["ch_mult"]) - 1)
        shapes = {"x": [2, 3, 16, 16]}
        whole = {"params": config, "inputs": shapes}
        writer.add(f"{name}_encode", whole, network, encoded, stride=1)
        side = 16 // factor
        whole = {"params": config, "inputs": {"z": [2, config["embed_dim"], side, side]}}
        writer.add(f"{name}_decode", whole, network, decoded)
    path = REFERENCES / "pesser+pytorch_diffusion" / "pytorch_diffusion" / "model.py"
    spec = importlib.util.spec_from_file_location("ddpm_port", path)
    assert spec is not None and spec.loader is not None
    port = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(port)
    ldm = importlib.import_module("ldm.modules.diffusionmodules.model")
    for name, home in (("ddpm_port", port), ("ddpm_latent_diffusion", ldm)):
        whole = {"params": MODEL, "inputs": {"x": [2, 3, 16, 16]}}
        network = home.Model(**{**MODEL, "ch_mult": tuple(MODEL["ch_mult"])})
        patches = ((home, "get_timestep_embedding", ddpm_time_embedding),)
        writer.add(name, whole, network, run_model, patches)
    writer.write("compvis")


if __name__ == "__main__":
    main()
