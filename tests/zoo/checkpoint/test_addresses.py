"""Addresses inside saved files: what a file of an earlier version names is still built."""

from __future__ import annotations

import pytest

from zoo import checkpoint, paths
from zoo.checkpoint.build import build, check_config
from zoo.diffusion.objective import Hybrid, Simple

ADDRESSES = {  # of parts, in files that version 0.1 may have written
    "classifier.encoder_unet": "EncoderUNet",
    "conditioner.bert_text": "BERTText",
    "conditioner.class_label": "ClassLabel ClassToken",
    "conditioner.clip_text": "CLIPText",
    "conditioner.low_resolution": "LowResolution",
    "conditioner.text": "TextConditioner",
    "conditioner.unconditional": "Unconditional",
    "denoiser.unet": "UNet",
    "diffusion.clock": "DiscreteClock",
    "diffusion.gaussian": "GaussianDiffusion",
    "diffusion.parameterization": "Epsilon Velocity X0",
    "diffusion.variance": "FixedVariance LearnedVariance",
    "diffusion.weighting": "Hybrid MinSNR Simple SimpleL1 Vlb",
    "first_stage.autoencoder": "KLAutoencoder",
    "first_stage.conv_autoencoder": "ConvAutoencoder",
    "first_stage.identity": "Identity",
    "first_stage.vq_autoencoder": "VQAutoencoder",
    "guidance.autoguidance": "AutoGuidance",
    "guidance.bounded": "Bounded",
    "guidance.classifier": "Classifier",
    "guidance.classifier_free": "ClassifierFree",
    "guidance.unguided": "Unguided",
    "models.autoencoder": "Autoencoder",
    "models.ddpm": "DDPM",
    "models.guided_latent_diffusion": "GuidedLatentDiffusion",
    "models.improved_ddpm": "ImprovedDDPM",
    "models.latent_diffusion": "LatentDiffusion",
    "models.noisy_classifier": "NoisyClassifier",
    "models.small_clip": "SmallClip",
    "models.small_extractor": "SmallExtractor",
    "module": "DiffusionModule",
    "part": "Part",
    "sampler.ancestral": "Ancestral",
    "sampler.ddim": "DDIM",
    "sampler.diffusers_scheduler": "DiffusersScheduler",
    "sampler.dpm_solver": "DPMSolver",
    "sampler.dpm_solver_3m": "DPMSolver3M",
    "sampler.dpm_solver_sde": "DPMSolverSDE",
    "sampler.euler": "Euler EulerAncestral",
    "sampler.grid": "karras leading linspace quadratic respaced trailing uniform_log_snr "
    "uniform_time",
    "sampler.heun": "Heun",
    "sampler.plms": "PLMS",
    "sampler.sampler": "Sampler",
    "sampler.unipc": "UniPC",
    "schedule.cosine": "Cosine",
    "schedule.linear": "Linear",
    "schedule.noise_schedule": "FromBetas NoiseSchedule",
    "schedule.scaled_linear": "ScaledLinear",
    "schedule.sigmoid": "Sigmoid",
    "schedule.zero_terminal_snr": "ZeroTerminalSNR",
    "trainable": "Trainable",
}


@pytest.mark.parametrize("module", ADDRESSES)
def test_every_address_of_a_saved_part_still_builds(module: str) -> None:
    for name in ADDRESSES[module].split():
        check_config({"_target_": f"zoo.{module}.{name}", "_partial_": module == "sampler.grid"})


def test_a_moved_module_builds_the_class_of_its_new_place() -> None:
    assert isinstance(build({"_target_": "zoo.diffusion.weighting.Simple"}), Simple)
    hybrid = build({"_target_": "zoo.diffusion.weighting.Hybrid", "vlb_weight": 0.5})
    assert isinstance(hybrid, Hybrid)
    with pytest.raises(ValueError, match=r"no such class"):
        check_config({"_target_": "zoo.diffusion.weighting.Nothing"})


def test_a_config_is_read_at_the_addresses_of_today() -> None:
    saved = checkpoint.config(paths.checkpoints() / "digits" / "ddpm.safetensors")
    assert saved["diffusion"]["objective"]["_target_"] == "zoo.diffusion.objective.Simple"
