"""The papers' headline runs: as published on paper, and able to take a step at a small size."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from zoo.entry import compose


class Published(NamedTuple):
    """What a paper or its code states; ``source`` says where."""

    parameters: int  # of what is trained, a label token's table aside
    batch: int
    lr: float
    steps: int
    dropout: float
    ema: float | None
    ema_warmup: bool
    lr_warmup: int | None
    clip: float | None
    weight_decay: float
    noise_levels: int | None
    flip: bool
    source: str


DDPM = "arXiv:2006.11239, appendix B; hojonathanho/diffusion 1e0dceb3, scripts/"
IDDPM = "arXiv:2102.09672; openai/improved-diffusion 1bc7bbbd, README, scripts/image_train.py"
LDM = "arXiv:2112.10752, tables 12 and 13; CompVis/latent-diffusion a506df57, configs/"
EMA, NO = 0.9999, None
PUBLISHED = {
    "ddpm_cifar10": Published(
        35_746_307, 128, 2e-4, 800_000, 0.1, EMA, False, 5000, 1.0, 0.0, 1000, True,
        DDPM + "run_cifar.py",
    ),
    "ddpm_lsun256": Published(
        113_673_219, 64, 2e-5, 2_400_000, 0.0, EMA, False, 5000, 1.0, 0.0, 1000, False,
        DDPM + "run_lsun.py",
    ),
    "improved_ddpm_cifar10_hybrid": Published(
        52_546_438, 128, 1e-4, 500_000, 0.3, EMA, False, NO, NO, 0.0, 4000, False, IDDPM
    ),
    "improved_ddpm_cifar10_vlb": Published(
        52_546_438, 128, 1e-4, 500_000, 0.3, EMA, False, NO, NO, 0.0, 4000, False, IDDPM
    ),
    "improved_ddpm_imagenet64": Published(
        121_063_942, 128, 1e-4, 1_500_000, 0.0, EMA, False, NO, NO, 0.0, 4000, False, IDDPM
    ),
    "adm256": Published(
        553_838_086, 256, 1e-4, 1_980_000, 0.0, EMA, False, NO, NO, 0.0, 1000, True,
        "arXiv:2105.05233, table 11; openai/guided-diffusion 22e0df81, README",
    ),
    "ldm4_celebahq": Published(
        274_056_163, 48, 9.6e-5, 410_000, 0.0, EMA, True, NO, NO, 0.01, 1000, False,
        LDM + "latent-diffusion/celebahq-ldm-vq-4.yaml",
    ),
    "ldm8_churches": Published(
        294_966_916, 96, 5e-5, 500_000, 0.0, EMA, True, 10_000, NO, 0.01, 1000, True,
        LDM + "latent-diffusion/lsun_churches-ldm-kl-8.yaml",
    ),
    "ldm4_imagenet": Published(
        400_920_579, 1200, 1e-4, 178_000, 0.0, EMA, True, NO, NO, 0.01, 1000, False,
        LDM + "latent-diffusion/cin256-v2.yaml",
    ),
    "kl_f8": Published(
        83_653_863, 4, 4 * 4.5e-6, 246_803, 0.0, NO, False, NO, NO, 0.0, NO, False,
        "CompVis/latent-diffusion a506df57, models/first_stage_models/kl-f8/config.yaml, README",
    ),
    "vq_f4": Published(
        55_322_782, 8, 8 * 4.5e-6, 533_066, 0.0, NO, False, NO, NO, 0.0, NO, False,
        "CompVis/latent-diffusion a506df57, models/first_stage_models/vq-f4/config.yaml, README",
    ),
}  # fmt: skip
RECIPES = sorted(PUBLISHED)
SMALL = [
    "data=folder",
    "data.image_size=32",
    "data.batch_size=2",
    "trainer=cpu",
    "trainer.max_steps=1",
    "trainer.limit_val_batches=0",
    "trainer.precision=32-true",
    "callbacks.sample_grid=null",
    "data.flip=true",
]
U_NET = [
    "model.denoiser.channels=8",
    "+model.denoiser.norm_groups=4",
    "model.denoiser.num_res_blocks=1",
    "model.denoiser.num_heads=2",
]
FIRST_STAGE = [
    "model.first_stage.channels=4",
    "model.first_stage.norm_groups=4",
    "model.first_stage.num_res_blocks=1",
    "model.loss.start=0",
    "model.loss.discriminator.channels=4",
    "model.loss.discriminator.num_layers=1",
]
OWN = {
    "adm256": ["model.denoiser.head_channels=4", "data.condition=label", "data.num_classes=2"],
    "ldm4_celebahq": ["model.denoiser.head_channels=4"],
    "ldm8_churches": ["data.image_size=128", "model.denoiser.num_heads=8"],
    "ldm4_imagenet": [
        "denoiser_inputs.context_dim=8", "data.condition=label", "data.num_classes=2",
    ],
    "vq_f4": ["model.first_stage.num_codes=12"],
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np
    from PIL import Image

    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for index in range(8):
        folder = root / ("train" if index < 6 else "test") / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_as_published(name: str) -> None:
    from omegaconf import OmegaConf

    cfg, stated = compose("train", [f"experiment={name}"]), PUBLISHED[name]
    OmegaConf.to_container(cfg, resolve=True)
    recipe, trainer = cfg.recipe, cfg.trainer
    assert cfg.data.batch_size * trainer.accumulate_grad_batches == stated.batch
    assert recipe.optimizer.lr == pytest.approx(stated.lr, rel=1e-12)
    assert recipe.optimizer.weight_decay == stated.weight_decay
    assert trainer.max_steps == stated.steps
    assert trainer.gradient_clip_val == stated.clip
    assert (recipe.ema.decay if recipe.ema else None) == stated.ema
    assert not recipe.ema or recipe.ema.warmup == stated.ema_warmup
    warmup = recipe.lr_scheduler.num_steps if recipe.lr_scheduler else None
    assert warmup == stated.lr_warmup
    assert cfg.data.flip == stated.flip
    network = cfg.model.get("denoiser") or cfg.model.first_stage
    assert network.get("dropout", 0.0) == stated.dropout
    if stated.noise_levels:
        assert cfg.schedule.num_timesteps == stated.noise_levels
        scale = 1000 / stated.noise_levels
        assert cfg.model.clock.scale == scale
    else:
        assert list(recipe.optimizer.betas) == [0.5, 0.9]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_the_published_number_of_parameters(name: str) -> None:
    from hydra.utils import instantiate

    cfg = compose("train", [f"experiment={name}"])
    with torch.device("meta"):
        network: Any = instantiate(cfg.model.get("denoiser") or cfg.model.first_stage)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name].parameters


def test_what_the_papers_have_in_particular() -> None:
    def composed(name: str) -> Any:
        return compose("train", [f"experiment={name}"])

    vlb = composed("improved_ddpm_cifar10_vlb")
    assert vlb.objective._target_.endswith("Vlb")
    assert vlb.recipe.time_sampler._target_.endswith("LossSecondMoment")
    assert vlb.schedule._target_.endswith("Cosine") and vlb.variance._target_.endswith(
        "LearnedVariance"
    )
    assert composed("improved_ddpm_cifar10_hybrid").objective._target_.endswith("Hybrid")
    assert composed("ddpm_cifar10").variance.fraction == 1.0
    assert composed("ddpm_lsun256").variance.fraction == 0.0
    churches = composed("ldm8_churches")
    assert churches.objective._target_.endswith("SimpleL1")
    assert churches.schedule.beta_end == 0.0155 and "scale_by_std" in churches.callbacks
    assert composed("ldm4_imagenet").conditioner.num_classes == 1000  # and a null row
    adm = composed("adm256")
    assert adm.schedule._target_.endswith(".Linear") and adm.model.denoiser.num_classes == 1000
    kl, vq = composed("kl_f8").model, composed("vq_f4").model
    assert (kl.loss.start, kl.loss.weight, kl.kl_weight) == (50_001, 0.5, 1e-6)
    assert (vq.loss.start, vq.loss.weight, vq.codebook_weight) == (0, 0.75, 1.0)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_takes_a_shrunken_step(name: str, pictures: Path, tmp_path: Path) -> None:
    from zoo.checkpoint import load, save
    from zoo.first_stage import KLAutoencoder, VQAutoencoder
    from zoo.models.autoencoder import Autoencoder
    from zoo.training.train import train

    overrides = [*SMALL, f"data.folder={pictures}", f"run_dir={tmp_path / 'run'}"]
    overrides += FIRST_STAGE if name in ("kl_f8", "vq_f4") else U_NET
    if name.startswith("ldm"):
        sizes = dict(channels=4, num_res_blocks=1, mid_attention=False, norm_groups=4)
        first_stage: Any = (
            KLAutoencoder(3, 4, channel_mult=(1, 1, 1, 1), **sizes)
            if name == "ldm8_churches"
            else VQAutoencoder(3, 3, channel_mult=(1, 1, 1), num_codes=12, **sizes)
        )
        file = save(Autoencoder(first_stage), tmp_path / "first_stage.safetensors")
        overrides += [f"autoencoder={file}"]
    cfg = compose("train", [f"experiment={name}", *overrides, *OWN.get(name, [])])
    if "loss" in cfg.model:  # a small LPIPS of random weights in place of the published one
        cfg.model.loss.perceptual = {"_target_": "zoo.first_stage.perceptual.LPIPS", "width": 2}
    model = load(train(cfg))
    assert all(value.isfinite().all() for value in model.state_dict().values())
    if name == "ldm8_churches":
        scale = model.first_stage.scale
        assert (scale != 1).all() and (scale == scale.flatten()[0]).all()
        assert not model.first_stage.shift.any()
    elif name.startswith("ldm"):
        assert (model.first_stage.scale == 1).all()


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("ldm")])
def test_a_latent_recipe_asks_for_its_first_stage(name: str, pictures: Path) -> None:
    from zoo.training import parts

    cfg = compose("train", [f"experiment={name}", *SMALL, f"data.folder={pictures}"])
    with pytest.raises(ValueError, match="pass autoencoder=PATH"):
        parts.module(cfg, None)


@pytest.mark.parametrize("name", ["kl_f8", "vq_f4"])
def test_a_first_stage_asks_for_the_perceptual_weights(name: str, pictures: Path) -> None:
    from zoo.training import parts

    cfg = compose("train", [f"experiment={name}", *SMALL, f"data.folder={pictures}"])
    with pytest.raises(Exception, match=r"needs vgg_file, got None"):
        parts.module(cfg, None)
