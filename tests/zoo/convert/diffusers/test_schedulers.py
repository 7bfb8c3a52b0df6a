"""A scheduler's config becomes a walk that makes the scheduler's own steps, or is refused."""

from __future__ import annotations

import inspect
import warnings
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.convert.diffusers import scheduler
from zoo.convert.diffusers.scheduler import read_scheduler
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.objective import Vlb
from zoo.diffusion.variance import LearnedVariance
from zoo.draw import Draw
from zoo.part import config_of
from zoo.records import Level, Prediction
from zoo.sampler import DDIM, PLMS, Ancestral, DiffusersScheduler, DPMSolver, Euler
from zoo.sampler.grid import leading

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # numpy 2 in diffusers
INDICES = range(2)
LATENT = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
STABLE = LATENT | dict(skip_prk_steps=True, steps_offset=1)
TRAINED = dict(trained_betas=[0.01 * i for i in range(1, 41)], num_train_timesteps=40)
WALKS: list[tuple[str, int, dict[str, Any], Any]] = [
    ("DDPMScheduler", 10, {}, Ancestral),
    ("DDPMScheduler", 10, dict(variance_type="fixed_large", clip_sample=False), Ancestral),
    (
        "DDPMScheduler",
        10,
        dict(variance_type="fixed_small_log", prediction_type="sample"),
        Ancestral,
    ),
    ("DDPMScheduler", 10, dict(timestep_spacing="trailing", clip_sample_range=0.5), Ancestral),
    ("DDPMScheduler", 7, dict(timestep_spacing="linspace"), DiffusersScheduler),
    ("DDPMScheduler", 8, dict(beta_schedule="squaredcos_cap_v2"), Ancestral),
    ("DDPMScheduler", 8, dict(beta_schedule="sigmoid", num_train_timesteps=400), Ancestral),
    ("DDPMScheduler", 8, TRAINED, Ancestral),
    ("DDPMScheduler", 10, dict(variance_type="learned_range"), Ancestral),
    (
        "DDPMScheduler",
        10,
        dict(variance_type="fixed_large", timestep_spacing="trailing"),
        DiffusersScheduler,
    ),
    ("DDIMScheduler", 10, dict(clip_sample=False), DDIM),
    ("DDIMScheduler", 10, {}, DiffusersScheduler),  # clips x0, but not the noise
    ("DDIMScheduler", 7, LATENT | dict(clip_sample=False), DDIM),
    (
        "DDIMScheduler",
        10,
        LATENT | dict(clip_sample=False, steps_offset=1, set_alpha_to_one=False),
        DDIM,
    ),
    (
        "DDIMScheduler",
        10,
        dict(
            clip_sample=False,
            timestep_spacing="trailing",
            rescale_betas_zero_snr=True,
            prediction_type="v_prediction",
        ),
        DDIM,
    ),
    ("DDIMScheduler", 7, dict(clip_sample=False, timestep_spacing="trailing"), DiffusersScheduler),
    ("PNDMScheduler", 10, STABLE, PLMS),
    ("PNDMScheduler", 10, STABLE | dict(prediction_type="v_prediction"), DiffusersScheduler),
    ("PNDMScheduler", 10, LATENT, DiffusersScheduler),
    ("EulerDiscreteScheduler", 10, LATENT | dict(timestep_spacing="leading", steps_offset=1), DDIM),
    ("EulerDiscreteScheduler", 10, LATENT | dict(timestep_spacing="trailing"), Euler),
    ("EulerDiscreteScheduler", 10, LATENT, DiffusersScheduler),
    ("EulerAncestralDiscreteScheduler", 10, LATENT | dict(timestep_spacing="leading"), DDIM),
    ("DPMSolverMultistepScheduler", 10, dict(timestep_spacing="trailing"), DPMSolver),
    ("DPMSolverMultistepScheduler", 10, dict(use_karras_sigmas=True), DiffusersScheduler),
    ("HeunDiscreteScheduler", 6, LATENT, DiffusersScheduler),
    ("UniPCMultistepScheduler", 6, LATENT, DiffusersScheduler),
]


def network(x: Tensor, t: float, channels: int) -> Tensor:
    """Some function of x and the timestep."""
    output = 0.6 * x + 0.4 * torch.sin(2 * x + t / 300)
    return output if channels == 1 else torch.cat([output, torch.sin(x + t / 100)], 1)


def theirs(name: str, config: dict[str, Any], num_steps: int, channels: int) -> Tensor:
    """Diffusers' own loop, with the noise of our streams."""
    made = getattr(diffusers, name)(**config)
    made.set_timesteps(num_steps)
    draw = Draw(0, INDICES, "steps")
    module = inspect.getmodule(type(made))
    patched = pytest.MonkeyPatch()
    if hasattr(module, "randn_tensor"):
        patched.setattr(module, "randn_tensor", lambda shape, **_: draw.normal(torch.empty(shape)))
    x = Draw(0, INDICES, "start").normal(torch.empty(2, 1, 4, 4)) * made.init_noise_sigma
    for t in made.timesteps:
        seen = made.scale_model_input(x, t)
        x = made.step(network(seen, float(t), channels), t, x).prev_sample
    patched.undo()
    return x


def ours(name: str, config: dict[str, Any], num_steps: int) -> tuple[Any, Tensor]:
    found = read_scheduler({"_class_name": name, **config}, num_steps)
    diffusion = GaussianDiffusion(found.schedule, found.parameterization, found.variance, Vlb())
    channels = 2 if isinstance(found.variance, LearnedVariance) else 1

    def predict(x: Tensor, level: Level) -> Prediction:
        prediction = diffusion.predict(network(x, level.t - 1, channels), x, level)
        if found.bounds is not None:
            prediction = prediction._replace(x0=prediction.x0.clamp(*found.bounds))
        return prediction

    levels = found.sampler.levels(found.schedule)
    x = found.sampler.start(Draw(0, INDICES, "start").normal(torch.empty(2, 1, 4, 4)), levels[0])
    draw = Draw(0, INDICES, "steps")
    return found, list(found.sampler.steps(predict, x, levels, draw, found.schedule))[-1]


@pytest.mark.parametrize(("name", "num_steps", "config", "kind"), WALKS)
def test_the_scheduler_s_own_steps(
    name: str, num_steps: int, config: dict[str, Any], kind: type
) -> None:
    found, x = ours(name, config, num_steps)
    assert type(found.sampler) is kind
    channels = 2 if isinstance(found.variance, LearnedVariance) else 1
    expected = theirs(name, config, num_steps, channels)
    assert expected.std() > 0.05
    # Diffusers' own run has float32 betas of its own, the adapter those of our schedule.
    tolerance = 1e-4 if kind is DiffusersScheduler else 2e-5
    assert (x - expected).abs().max() <= tolerance * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("DDPMScheduler", "beta_schedule", "laplace"),
        ("DDPMScheduler", "variance_type", "learned"),
        ("DDPMScheduler", "variance_type", "fixed_large_log"),
        ("DDPMScheduler", "thresholding", True),
        ("DDIMScheduler", "prediction_type", "flow_prediction"),
        ("DDPMScheduler", "mystery", 3),
    ],
)
def test_what_cannot_be_reproduced_is_refused(name: str, option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}.*{option}={value!r}"):
        read_scheduler({"_class_name": name, option: value}, 10)


def test_unknown_schedulers_are_refused() -> None:
    with pytest.raises(ValueError, match="FlowMatchEulerDiscreteScheduler is not known"):
        read_scheduler({"_class_name": "FlowMatchEulerDiscreteScheduler"}, 10)


def test_a_sampler_of_the_user_s_own_replaces_the_walk() -> None:
    config = {"_class_name": "HeunDiscreteScheduler", **LATENT}
    sampler = DPMSolver(5)
    assert read_scheduler(config, 10, sampler).sampler is sampler


@pytest.mark.parametrize(
    "name",
    [
        "DDPMScheduler",
        "DDIMScheduler",
        "PNDMScheduler",
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "DPMSolverMultistepScheduler",
    ],
)
def test_every_option_of_diffusers_is_known_with_its_default(name: str) -> None:
    signature = inspect.signature(getattr(diffusers, name).__init__).parameters
    defaults = {k: p.default for k, p in signature.items() if k != "self"}
    given = read_scheduler({"_class_name": name, **defaults}, 10)
    implied = read_scheduler({"_class_name": name}, 10)
    assert type(given.sampler) is type(implied.sampler)
    assert (given.bounds, given.schedule._table.tolist()) == (
        implied.bounds,
        implied.schedule._table.tolist(),
    )
    options = scheduler.Options(defaults, name, scheduler._DEFAULTS)
    scheduler._schedule(options), scheduler._parameterization(options)
    scheduler._variance(options, name), scheduler._bounds(options, clips=True)
    for spacing in ("leading", "trailing"):
        options.values |= {
            "timestep_spacing": spacing,
            "clip_sample": False,
            "skip_prk_steps": True,
        }
        scheduler.WALKS[name](options, 10)
    assert set(defaults) <= options._read  # none is taken for another scheduler's


PUBLISHED = [  # as they lie in folders of that time
    (
        dict(
            _class_name="PNDMScheduler",
            _diffusers_version="0.6.0",
            beta_end=0.012,
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            clip_sample=False,
            num_train_timesteps=1000,
            set_alpha_to_one=False,
            skip_prk_steps=True,
            steps_offset=1,
            trained_betas=None,
        ),
        PLMS(50, partial(leading, first=2, stop=1.0)),
    ),
    (
        dict(
            _class_name="DDIMScheduler",
            beta_end=0.0195,
            beta_schedule="scaled_linear",
            beta_start=0.0015,
            clip_sample=False,
            num_train_timesteps=1000,
            skip_prk_steps=True,  # of another scheduler
            timestep_values=None,
        ),
        DDIM(50, leading),
    ),
    (
        dict(
            _class_name="DDPMScheduler",
            _diffusers_version="0.1.1",
            beta_end=0.02,
            beta_schedule="linear",
            beta_start=0.0001,
            clip_sample=True,
            num_train_timesteps=1000,
            trained_betas=None,
            variance_type="fixed_large",
        ),
        Ancestral(50, leading),
    ),
]


@pytest.mark.parametrize(("config", "sampler"), PUBLISHED)
def test_published_configs(config: dict[str, Any], sampler: Any) -> None:
    assert config_of(read_scheduler(config, 50).sampler) == config_of(sampler)


def test_options_of_another_scheduler_are_not_handed_on() -> None:
    config = {"_class_name": "DDIMScheduler", "skip_prk_steps": True, "solver_order": 2}
    found = read_scheduler(config, 10)
    assert isinstance(found.sampler, DiffusersScheduler)
    assert len(found.sampler.levels(found.schedule)) == 11


def test_old_options() -> None:
    config = {"_class_name": "DDPMScheduler", "predict_epsilon": False, "tensor_format": "pt"}
    assert type(read_scheduler(config, 10).parameterization).__name__ == "X0"
