"""Whole pipelines: the same images from the same noise, and the way to diffusers and back."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.conditioner import ClassLabel, CLIPText
from zoo.convert import from_diffusers, to_diffusers
from zoo.convert.diffusers.text import tokenizer_files
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.parameterization import Velocity
from zoo.diffusion.variance import FixedVariance
from zoo.draw import Draw
from zoo.first_stage import KLAutoencoder, VQAutoencoder
from zoo.guidance import Bounded, ClassifierFree
from zoo.models.ddpm import DDPM
from zoo.models.latent_diffusion import LatentDiffusion
from zoo.part import config_of
from zoo.sampler import DDIM, PLMS, Ancestral
from zoo.schedule import Cosine, FromBetas, Linear, ScaledLinear, Sigmoid, ZeroTerminalSNR

_spec = importlib.util.spec_from_file_location("pairs", Path(__file__).with_name("pairs.py"))
assert _spec is not None and _spec.loader is not None
pairs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pairs)
diffusers, draw_weights = pairs.diffusers, pairs.draw_weights
KL, PIXEL, TEXT, VQ = pairs.KL, pairs.PIXEL, pairs.TEXT, pairs.VQ

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
CHECKPOINTS = Path(__file__).resolve().parents[4] / "checkpoints" / "digits"
LATENT = dict(beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195)
CAPTIONS = ["two red foxes", "a small blue door on a red hill"]
TINY = dict(sample_size=8, out_channels=3)


@pytest.fixture
def as_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """``generate`` gives what diffusers calls images, in [0, 1], instead of bytes."""
    monkeypatch.setattr("zoo.generation.to_uint8", lambda x: (x.float() / 2 + 0.5).clamp(0, 1))


@pytest.fixture
def same_noise(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Diffusers draws the first noise, then that of the steps, from our streams of seed 0."""

    def patch(pipeline: Any, count: int) -> None:
        start, steps = Draw(0, range(count), "start"), Draw(0, range(count), "steps")
        for owner, draw in ((pipeline, start), (pipeline.scheduler, steps)):
            module = inspect.getmodule(type(owner))
            if hasattr(module, "randn_tensor"):

                def drawn(shape: Any, draw: Draw = draw, **_: Any) -> Tensor:
                    return draw.normal(torch.empty(tuple(shape)))

                monkeypatch.setattr(module, "randn_tensor", drawn)

    return patch


def pixel_unet(**changes: Any) -> Any:
    return draw_weights(diffusers.UNet2DModel(**(PIXEL["ddpm"] | changes)))


def text_encoder() -> tuple[Any, str]:
    """Transformers' encoder with weights drawn anew, and our tokenizer of a few captions."""
    from transformers import CLIPTextConfig, CLIPTextModel

    made = CLIPText.train_tokenizer(CAPTIONS, 80)
    vocab = json.loads(made)["model"]["vocab"]
    config = CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=24,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=16,
        bos_token_id=vocab["<|startoftext|>"],
        eos_token_id=vocab["<|endoftext|>"],
    )
    return draw_weights(CLIPTextModel(config)), made


def clip_tokenizer(folder: Path, made: bytes) -> Any:
    from transformers import CLIPTokenizer

    text = CLIPText(vocab_size=80, width=8, layers=1, heads=1, max_length=16)
    text.set_tokenizer(made)
    folder.mkdir()
    for name, content in tokenizer_files(text).items():
        (folder / name).write_text(content)
    return CLIPTokenizer.from_pretrained(folder)


def stable_diffusion(tmp_path: Path, **scheduler: Any) -> Any:
    encoder, made = text_encoder()
    config = LATENT | dict(skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False)
    return diffusers.StableDiffusionPipeline(
        vae=draw_weights(diffusers.AutoencoderKL(**KL["kl"])),
        text_encoder=encoder,
        tokenizer=clip_tokenizer(tmp_path / "made_tokenizer", made),
        unet=draw_weights(diffusers.UNet2DConditionModel(**TEXT["stable_diffusion"])),
        scheduler=diffusers.PNDMScheduler(**(config | scheduler)),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def close(ours: Tensor, theirs: Any, tolerance: float = 2e-4) -> None:
    theirs = torch.as_tensor(theirs)
    theirs = theirs if theirs.shape == ours.shape else theirs.permute(0, 3, 1, 2)
    inside = (theirs > 0.01) & (theirs < 0.99)
    assert inside.float().mean() > 0.1, "nearly all pixels are clipped"
    assert (ours - theirs).abs().max() <= tolerance


@pytest.mark.parametrize(
    "scheduler",
    [
        dict(),
        dict(variance_type="fixed_large", prediction_type="sample", clip_sample=False),
        dict(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2"),
    ],
)
@pytest.mark.usefixtures("as_floats")
def test_ddpm_pipeline(tmp_path: Path, same_noise: Any, scheduler: dict[str, Any]) -> None:
    made = diffusers.DDPMPipeline(pixel_unet(), diffusers.DDPMScheduler(**scheduler))
    made.save_pretrained(tmp_path)
    ours = from_diffusers(tmp_path, num_steps=5)
    assert isinstance(ours, DDPM)
    same_noise(made, 2)
    theirs = quiet(made)(batch_size=2, num_inference_steps=5, output_type="np").images
    close(ours.generate(2), theirs)


@pytest.mark.usefixtures("as_floats")
def test_learned_variance_and_pickled_weights(tmp_path: Path, same_noise: Any) -> None:
    unet = pixel_unet(out_channels=6)
    scheduler = diffusers.DDPMScheduler(variance_type="learned_range", num_train_timesteps=100)
    made = diffusers.DDPMPipeline(unet, scheduler)
    made.save_pretrained(tmp_path, safe_serialization=False)
    assert (tmp_path / "unet" / "diffusion_pytorch_model.bin").is_file()
    ours = from_diffusers(tmp_path, num_steps=5)
    assert isinstance(ours, zoo.ImprovedDDPM)
    same_noise(made, 2)
    theirs = quiet(made)(batch_size=2, num_inference_steps=5, output_type="np").images
    close(ours.generate(2), theirs)


@pytest.mark.parametrize("autoencoder", ["VQModel", "AutoencoderKL"])
@pytest.mark.usefixtures("as_floats")
def test_ldm_pipeline(tmp_path: Path, same_noise: Any, autoencoder: str) -> None:
    config = VQ["vq"] if autoencoder == "VQModel" else KL["kl"] | dict(latent_channels=3)
    scheduler = diffusers.DDIMScheduler(**LATENT, clip_sample=False)
    first_stage = draw_weights(getattr(diffusers, autoencoder)(**config))
    made = diffusers.LDMPipeline(first_stage, pixel_unet(sample_size=8), scheduler)
    made.save_pretrained(tmp_path)
    ours = from_diffusers(tmp_path, num_steps=5)
    same_noise(made, 2)
    theirs = quiet(made)(batch_size=2, num_inference_steps=5, output_type="np").images
    close(ours.generate(2), theirs)


@pytest.mark.usefixtures("as_floats")
def test_stable_diffusion_pipeline(tmp_path: Path) -> None:
    made = stable_diffusion(tmp_path)
    made.save_pretrained(tmp_path / "folder")
    ours = from_diffusers(tmp_path / "folder", num_steps=5)
    assert isinstance(ours, zoo.GuidedLatentDiffusion) and type(ours.sampler) is PLMS
    latents = Draw(0, range(2), "start").normal(torch.empty(2, 4, 8, 8))
    options: dict[str, Any] = dict(num_inference_steps=5, latents=latents, output_type="np")
    theirs = quiet(made)(CAPTIONS, guidance_scale=7.5, **options).images
    close(ours.generate(2, condition=CAPTIONS), theirs, 1 / 255)
    plain = quiet(made)(CAPTIONS, guidance_scale=1.0, **options).images
    close(ours.generate(2, condition=CAPTIONS, guidance=ClassifierFree(1.0)), plain)
    assert abs(theirs - plain).max() > 0.05  # guidance was seen

    assert to_diffusers(ours, tmp_path / "back") == "StableDiffusionPipeline"
    again = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "back")
    for name in ("unet", "vae", "text_encoder"):
        same_weights(getattr(again, name), getattr(made, name))
    back = quiet(again)(CAPTIONS, guidance_scale=7.5, **options).images
    assert abs(back - theirs).max() <= 1e-5
    same_model(from_diffusers(tmp_path / "back", num_steps=5), ours)


def same_weights(one: nn.Module, other: nn.Module) -> None:
    others = other.state_dict()
    assert one.state_dict().keys() == others.keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, others[name]), name


def same_model(one: Any, other: Any) -> None:
    """Bits of every tensor, and the config but for the walk's steps and the loss."""
    same_weights(one, other)
    configs = [config_of(module) for module in (one, other)]
    for config in configs:
        config.pop("sampler")
        config["diffusion"].pop("objective")
        config["diffusion"]["floor"] = None
    assert canonical(configs[0]) == canonical(configs[1])


def canonical(config: Any) -> Any:
    """The same network said in one way: heads, and numbers whole or not."""
    text = json.dumps(config, sort_keys=True)
    return json.loads(re.sub(r"(\d)\.0\b", r"\1", text))


@pytest.mark.parametrize(
    "name", ["ddpm", "improved_ddpm", "latent_diffusion", "guided_latent_diffusion"]
)
@pytest.mark.usefixtures("as_floats")
def test_shipped_models_there_and_back(tmp_path: Path, same_noise: Any, name: str) -> None:
    ours = zoo.load(CHECKPOINTS / f"{name}.safetensors")
    pipeline = to_diffusers(ours, tmp_path / "folder")
    back = from_diffusers(tmp_path / "folder", num_steps=5)
    same_weights(back, ours)
    for part in ("denoiser", "first_stage"):
        assert config_of(getattr(back, part)) == config_of(getattr(ours, part))
    for part in ("schedule", "parameterization", "variance"):
        mine, other = getattr(ours.diffusion, part), getattr(back.diffusion, part)
        assert canonical(config_of(mine)) == canonical(config_of(other))
    if pipeline is None:
        assert config_of(back.conditioner) == config_of(ours.conditioner)
        return
    loaded = getattr(diffusers, pipeline).from_pretrained(tmp_path / "folder")
    same_noise(loaded, 2)
    theirs = quiet(loaded)(batch_size=2, num_inference_steps=5, output_type="np").images
    close(back.generate(2), theirs)


SCHEDULES = [
    Linear(),
    Linear(400, 2e-4, 0.03),
    ScaledLinear(500, 0.001, 0.01),
    Cosine(),
    Cosine(100, offset=0.01),
    Sigmoid(),
    FromBetas([0.1, 0.2, 0.3]),
    ZeroTerminalSNR(ScaledLinear()),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_every_schedule_there_and_back(tmp_path: Path, schedule: Any) -> None:
    unet = pairs.ours_of(pixel_unet())
    diffusion = GaussianDiffusion(schedule, Velocity(), FixedVariance(1.0))
    ours = DDPM(unet, diffusion, [3, 16, 16], Ancestral(10), guidance=Bounded([-2.0, 2.0]))
    assert to_diffusers(ours, tmp_path / "folder") == "DDPMPipeline"
    back: Any = from_diffusers(tmp_path / "folder")
    times = torch.arange(1, int(schedule.end) + 1)
    torch.testing.assert_close(
        back.diffusion.schedule(times).alpha, schedule(times).alpha, rtol=1e-9, atol=1e-12
    )
    same_weights(back, ours)
    assert config_of(back.guidance) == config_of(ours.guidance)
    loaded = diffusers.DDPMPipeline.from_pretrained(tmp_path / "folder").scheduler
    torch.testing.assert_close(
        loaded.alphas_cumprod.double().sqrt(), schedule(times).alpha, rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("kind", [KLAutoencoder, VQAutoencoder])
def test_a_shift_and_scale_fold_into_the_weights(tmp_path: Path, kind: Any) -> None:
    ours = kind(3, 3, 16, (1, 2), 1, norm_groups=8)
    draw_weights(ours)
    channels = [0.5, 2.0, 1.5] if kind is KLAutoencoder else 2.0
    ours.set_scale([0.1, -0.2, 0.7], channels)
    to_diffusers(ours, tmp_path / "folder")
    name = "AutoencoderKL" if kind is KLAutoencoder else "VQModel"
    theirs = getattr(diffusers, name).from_pretrained(tmp_path / "folder")
    images, latents = pairs.noise(2, 3, 8, 8), pairs.noise(2, 3, 4, 4, seed=2)
    scale = theirs.config.scaling_factor
    with torch.no_grad():
        encoded = theirs.encode(images)
        if kind is KLAutoencoder:
            got, wanted = encoded.latent_dist.mean * scale, ours.draw(ours.moments(images))
            std = encoded.latent_dist.std * scale
            own = (0.5 * ours.moments(images).chunk(2, 1)[1]).exp() * ours.scale
            torch.testing.assert_close(std, own, rtol=1e-5, atol=1e-6)
        else:
            got, wanted = encoded.latents * scale, ours.draw(ours.moments(images))
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
        decoded = theirs.decode(latents / scale).sample
        torch.testing.assert_close(decoded, ours.decode(latents), rtol=1e-4, atol=1e-4)
    same_weights(from_diffusers(tmp_path / "folder"), ours)

    # Weights that diffusers has trained on since are not overruled by those from before.
    theirs.post_quant_conv.bias.data += 1
    (tmp_path / "folder" / "diffusion_pytorch_model.safetensors").unlink()
    theirs.save_pretrained(tmp_path / "folder")
    changed: Any = from_diffusers(tmp_path / "folder")
    assert torch.equal(changed.post_quant_conv.bias, theirs.post_quant_conv.bias)
    assert not changed.shift.any()


def test_what_diffusers_cannot_express_is_refused(tmp_path: Path) -> None:
    vq = VQAutoencoder(3, 3, 16, (1, 2), 1, norm_groups=8)
    vq.set_scale(0.0, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="one scaling_factor for all channels"):
        to_diffusers(vq, tmp_path / "vq")
    with pytest.raises(ValueError, match="no z_channels"):
        to_diffusers(KLAutoencoder(3, 3, 16, (1, 2), z_channels=4, norm_groups=8), tmp_path / "kl")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="a Linear cannot be written"):
        to_diffusers(nn.Linear(2, 2), tmp_path / "linear")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = zoo.load(CHECKPOINTS / "ddpm.safetensors")

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="no space"):
        to_diffusers(ours, tmp_path / "folder")
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("kept")
    with pytest.raises(ValueError, match="not empty"):
        to_diffusers(ours, tmp_path / "folder")
    assert (tmp_path / "folder" / "mine.txt").read_text() == "kept"


def test_networks_alone(tmp_path: Path) -> None:
    pixel_unet().save_pretrained(tmp_path / "pixel")
    alone: Any = from_diffusers(tmp_path / "pixel", sampler=DDIM(3))
    assert isinstance(alone, DDPM) and alone.image_shape == [3, 16, 16]
    assert alone.generate(1).shape == (1, 3, 16, 16)
    labelled = pixel_unet(num_class_embeds=4)
    labelled.save_pretrained(tmp_path / "labelled")
    conditioner = from_diffusers(tmp_path / "labelled").conditioner
    assert isinstance(conditioner, ClassLabel) and conditioner.num_classes == 4
    theirs = draw_weights(diffusers.UNet2DConditionModel(**TEXT["stable_diffusion"]))
    theirs.save_pretrained(tmp_path / "text")
    assert type(from_diffusers(tmp_path / "text")).__name__ == "UNet"


def test_latent_models_with_plms_and_with_labels(tmp_path: Path) -> None:
    unet = pairs.ours_of(pixel_unet(sample_size=8, num_class_embeds=5))
    vq = draw_weights(VQAutoencoder(3, 3, 16, (1, 2), 1, norm_groups=8))
    from functools import partial

    from zoo.sampler.grid import leading

    ours = LatentDiffusion(
        unet,
        GaussianDiffusion(ScaledLinear()),
        vq,
        [3, 16, 16],
        PLMS(10, partial(leading, first=2, stop=1.0)),
        ClassLabel(5),
    )
    assert to_diffusers(ours, tmp_path / "folder") is None
    assert not (tmp_path / "folder" / "model_index.json").exists()
    back: Any = from_diffusers(tmp_path / "folder", num_steps=10)
    assert config_of(back.sampler) == config_of(ours.sampler)
    same_model(back, ours)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither model_index.json nor config.json"):
        from_diffusers(tmp_path)
    index = {"_class_name": "FluxPipeline", "unet": ["diffusers", "UNet2DModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="FluxPipeline is not known: possible are DDPMPipeline"):
        from_diffusers(tmp_path)
    index = {"_class_name": "StableDiffusionPipeline", "image_encoder": ["transformers", "CLIP"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="image_encoder cannot be reproduced"):
        from_diffusers(tmp_path)
    (tmp_path / "model_index.json").unlink()
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(ValueError, match="no weights"):
        from_diffusers(tmp_path)


def test_old_stable_diffusion_folders(tmp_path: Path) -> None:
    """What diffusers' pipeline corrects in configs and files of before 2023."""
    from zoo.convert.diffusers.folder import scheduler_config_of
    from zoo.convert.diffusers.text import _ours
    from zoo.convert.diffusers.unet import diffused_sides

    (tmp_path / "scheduler").mkdir()
    config = {"_class_name": "DDIMScheduler", "steps_offset": 0, "clip_sample": True}
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    read = scheduler_config_of(tmp_path, "StableDiffusionPipeline")
    assert (read["steps_offset"], read["clip_sample"]) == (1, False)
    old = {"sample_size": 32, "_diffusers_version": "0.6.0"}
    assert diffused_sides(old, None, "StableDiffusionPipeline") == [64, 64]
    new = old | {"_diffusers_version": "0.32.0"}
    assert diffused_sides(new, None, "StableDiffusionPipeline") == [32, 32]
    weights = {"text_model.embeddings.position_ids": torch.arange(3), "final_layer_norm.bias": 0}
    assert _ours(weights) == {"text_model.final_layer_norm.bias": 0}


def test_bounds_ascend() -> None:
    with pytest.raises(ValueError, match="two ascending numbers or None"):
        Bounded([1.0, -1.0])
