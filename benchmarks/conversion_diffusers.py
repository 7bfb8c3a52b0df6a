"""How far converted networks and whole pipelines are from diffusers', all weights drawn anew.

    python benchmarks/conversion_diffusers.py

Networks: the largest difference over the largest value, in float32 and float64 (with the embedding
of time in float64 too). Pipelines: the largest difference of images in [0, 1], where a level of 8
bits is 1/255. Needs diffusers.
"""

from __future__ import annotations

import importlib.util
import inspect
import tempfile
import warnings
from pathlib import Path
from typing import Any

import _table
import torch
from torch import Tensor

warnings.simplefilter("ignore")
ROOT = Path(__file__).resolve().parents[1]
LATENT = dict(beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195)


def helpers() -> Any:
    path = ROOT / "tests" / "zoo" / "convert" / "diffusers" / "pairs.py"
    spec = importlib.util.spec_from_file_location("diffusers_pairs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pairs = helpers()


def networks(dtype: torch.dtype) -> list[tuple[str, str, float]]:
    found = []
    with torch.no_grad():
        for name, config in pairs.PIXEL.items():
            found.append(("UNet2DModel", name, pixel(config, dtype)))
        for name, config in pairs.TEXT.items():
            found.append(("UNet2DConditionModel", name, text(config, dtype)))
        for name in ("kl", "kl_attention"):
            found.append(
                ("AutoencoderKL", name, autoencoder("AutoencoderKL", pairs.KL[name], dtype))
            )
        for name, config in pairs.VQ.items():
            found.append(("VQModel", name, autoencoder("VQModel", config, dtype)))
    return found


def pixel(config: dict[str, Any], dtype: torch.dtype) -> float:
    theirs = pairs.draw_weights(pairs.diffusers.UNet2DModel(**config))
    theirs = pairs.in_float64(theirs) if dtype == torch.float64 else theirs
    ours, x = pairs.ours_of(theirs), pairs.noise(2, 3, 16, 8, dtype=dtype)
    t, labels = torch.tensor([3.0, 977.25]), None
    if ours.num_classes:
        labels = torch.tensor([6, 0])
    from zoo.records import Condition

    expected = theirs(x, t, class_labels=labels).sample
    return pairs.difference(ours(x, t.to(dtype), Condition(vector=labels)), expected)


def text(config: dict[str, Any], dtype: torch.dtype) -> float:
    from zoo.records import Condition

    theirs = pairs.draw_weights(pairs.diffusers.UNet2DConditionModel(**config))
    theirs = pairs.in_float64(theirs) if dtype == torch.float64 else theirs
    ours = pairs.ours_of(theirs)
    x, tokens = pairs.noise(2, 4, 8, 8, dtype=dtype), pairs.noise(2, 5, 24, dtype=dtype)
    t = torch.tensor([1.0, 500.5], dtype=dtype)
    labels = torch.tensor([3, 0]) if ours.num_classes else None
    expected = theirs(x, t, tokens, labels).sample
    return pairs.difference(ours(x, t, Condition(vector=labels, tokens=tokens)), expected)


def autoencoder(kind: str, config: dict[str, Any], dtype: torch.dtype) -> float:
    theirs = pairs.draw_weights(getattr(pairs.diffusers, kind)(**config)).to(dtype)
    ours, images = pairs.ours_of(theirs), pairs.noise(2, 3, 8, 12, dtype=dtype).clamp(-1, 1)
    encoded = theirs.encode(images)
    moments = encoded.latents if kind == "VQModel" else encoded.latent_dist.parameters
    latents = moments if kind == "VQModel" else encoded.latent_dist.mean
    return max(
        pairs.difference(ours.moments(images), moments),
        pairs.difference(ours.decode(latents), theirs.decode(latents).sample),
    )


def pipelines() -> list[tuple[str, str, float]]:
    """The largest difference of a pixel between both libraries' images, from the same noise."""
    d, draw = pairs.diffusers, pairs.draw_weights
    unet = pairs.PIXEL["ddpm"]
    latent_unet = unet | dict(sample_size=8)
    made = {
        "DDPMPipeline": d.DDPMPipeline(draw(d.UNet2DModel(**unet)), d.DDPMScheduler()),
        "DDPMPipeline learned_range": d.DDPMPipeline(
            draw(d.UNet2DModel(**(unet | dict(out_channels=6)))),
            d.DDPMScheduler(variance_type="learned_range", num_train_timesteps=100),
        ),
        "LDMPipeline VQModel": d.LDMPipeline(
            draw(d.VQModel(**pairs.VQ["vq"])),
            draw(d.UNet2DModel(**latent_unet)),
            d.DDIMScheduler(**LATENT, clip_sample=False),
        ),
        "LDMPipeline AutoencoderKL": d.LDMPipeline(
            draw(d.AutoencoderKL(**(pairs.KL["kl"] | dict(latent_channels=3)))),
            draw(d.UNet2DModel(**latent_unet)),
            d.DDIMScheduler(**LATENT, clip_sample=False),
        ),
    }
    return [("pipeline", name, images(pipeline)) for name, pipeline in made.items()]


def images(pipeline: Any, steps: int = 10) -> float:
    from zoo import generation as wiring
    from zoo.convert import from_diffusers
    from zoo.draw import Draw

    pipeline.set_progress_bar_config(disable=True)
    with tempfile.TemporaryDirectory() as folder:
        pipeline.save_pretrained(folder)
        ours: Any = from_diffusers(folder, num_steps=steps)
    for owner, purpose in ((pipeline, "start"), (pipeline.scheduler, "steps")):
        draw, home = Draw(0, range(2), purpose), inspect.getmodule(type(owner))

        def drawn(shape: Any, draw: Draw = draw, **_: Any) -> Tensor:
            return draw.normal(torch.empty(tuple(shape)))

        if hasattr(home, "randn_tensor"):
            home.randn_tensor = drawn  # type: ignore[union-attr]
    theirs = pipeline(batch_size=2, num_inference_steps=steps, output_type="np").images
    to_uint8, wiring.to_uint8 = wiring.to_uint8, lambda x: (x.float() / 2 + 0.5).clamp(0, 1)
    own = ours.generate(2)
    wiring.to_uint8 = to_uint8
    return float((own - torch.as_tensor(theirs).permute(0, 3, 1, 2)).abs().max())


def there_and_back() -> list[tuple[str, str, float]]:
    """Tensors of the shipped models that are not the same bits after a round trip."""
    import zoo
    from zoo.convert import from_diffusers, to_diffusers
    from zoo.module import DiffusionModule

    found = []
    for path in sorted((ROOT / "checkpoints" / "digits").glob("*.safetensors")):
        ours = zoo.load(path)
        if not isinstance(ours, DiffusionModule):
            continue
        with tempfile.TemporaryDirectory() as folder:
            to_diffusers(ours, Path(folder) / "model")
            back = from_diffusers(Path(folder) / "model").state_dict()
        state = ours.state_dict()
        assert back.keys() == state.keys()
        changed = sum(not torch.equal(back[name], state[name]) for name in state)
        found.append(("changed tensors there and back", path.stem, float(changed)))
    return found


def main() -> None:
    rows = []
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        for kind, name, difference in networks(dtype):
            rows.append((kind, name, str(dtype)[6:], difference, tolerance))
    for kind, name, difference in pipelines():
        rows.append((kind, name, "float32", difference, 1e-4))
    for kind, name, changed in there_and_back():
        rows.append((kind, name, "float32", changed, 0.0))
    names = ("what", "config", "precision", "difference", "allowed")
    _table.write(__file__, [dict(zip(names, row, strict=True)) for row in rows])
    assert all(row[3] <= row[4] for row in rows)


if __name__ == "__main__":
    main()
