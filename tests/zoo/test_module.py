"""The wiring: images that depend on index and seed alone, any sampler with any model, errors."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import zoo
from zoo.conditioner import ClassLabel, ClassToken, Unconditional
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.objective import Hybrid
from zoo.diffusion.parameterization import Epsilon, Velocity
from zoo.diffusion.variance import FixedVariance, LearnedVariance
from zoo.first_stage import KLAutoencoder
from zoo.guidance import ClassifierFree, Unguided
from zoo.records import Batch, Condition
from zoo.sampler import DDIM, Ancestral, DPMSolver, Heun
from zoo.schedule import Cosine, FromBetas, Linear, ScaledLinear

SAMPLERS = [Ancestral(3), DDIM(3), DDIM(3, eta=1.0), Heun(2), DPMSolver(3)]
SMALL = dict(channels=8, channel_mult=(1, 2), num_res_blocks=1, attention_at=(2,), norm_groups=4)


def randomized(module: nn.Module) -> nn.Module:
    """Zero-initialised layers would hide whole branches."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.15 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def autoencoder() -> KLAutoencoder:
    return KLAutoencoder(
        image_channels=1,
        latent_channels=2,
        channels=8,
        channel_mult=(1, 1),
        num_res_blocks=1,
        norm_groups=4,
    )


def ddpm() -> zoo.DDPM:
    return zoo.DDPM(
        UNet(1, 1, num_classes=3, **SMALL),
        GaussianDiffusion(Linear()),
        (1, 8, 8),
        DDIM(3),
        ClassLabel(3),
    )


def improved_ddpm() -> zoo.ImprovedDDPM:
    diffusion = GaussianDiffusion(Cosine(), variance=LearnedVariance(), objective=Hybrid())
    return zoo.ImprovedDDPM(
        UNet(1, 2, scale_shift_norm=True, num_classes=3, **SMALL),
        diffusion,
        (1, 8, 8),
        Ancestral(3),
        ClassLabel(3),
    )


def latent_diffusion() -> zoo.LatentDiffusion:
    return zoo.LatentDiffusion(
        UNet(2, 2, num_classes=3, **SMALL),
        GaussianDiffusion(ScaledLinear()),
        autoencoder(),
        (1, 8, 8),
        DDIM(3),
        ClassLabel(3),
    )


def guided_latent_diffusion() -> zoo.GuidedLatentDiffusion:
    return zoo.GuidedLatentDiffusion(
        UNet(2, 2, context_dim=6, **SMALL),
        GaussianDiffusion(ScaledLinear()),
        autoencoder(),
        (1, 8, 8),
        DDIM(3),
        ClassToken(3, 6, dropout=0.1),
        ClassifierFree(2.0),
    )


MAKERS = [ddpm, improved_ddpm, latent_diffusion, guided_latent_diffusion]


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: make.__name__)
def module(request):
    return randomized(request.param())


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_any_sampler_runs_with_any_model(module, sampler) -> None:
    images = module.generate(2, [0, 2], sampler=sampler)
    assert images.shape == (2, 1, 8, 8) and images.dtype == torch.uint8
    assert images.float().std() > 1


@pytest.mark.parametrize("sampler", SAMPLERS[:2], ids=["Ancestral", "DDIM"])
def test_an_image_depends_on_its_index_and_the_seed_alone(module, sampler) -> None:
    whole = module.generate(7, sampler=sampler, seed=5)
    batched = module.generate(7, sampler=sampler, seed=5, batch_size=3)
    picked = module.generate(2, sampler=sampler, seed=5, indices=[6, 1])
    for other, expected in ((batched, whole), (picked, whole[[6, 1]])):
        # the noise is equal bit for bit; the network rounds differently in another batch
        assert (other.int() - expected.int()).abs().max() <= 1
    assert not torch.equal(module.generate(7, sampler=sampler, seed=6), whole)


def test_the_condition_matters_to_its_own_image_only(module) -> None:
    x = torch.randn(3, *module.latent_shape, generator=torch.Generator().manual_seed(0))
    one, other = (
        module.predict(x, 400.0, module.conditioner(c)).x0 for c in ([0, 1, 2], [1, 1, 2])
    )
    change = (one - other).abs().flatten(1).amax(1) / one.std()
    assert change[0] > 1e-3 and change[1:].max() < 1e-5


def test_a_condition_may_be_ready_made(module) -> None:
    ready = module.conditioner(torch.tensor([0, 1, 2]))
    assert torch.equal(module.generate(3, ready, seed=1), module.generate(3, [0, 1, 2], seed=1))


def test_network_evaluations_are_counted_per_row(module) -> None:
    module.network_evaluations = 0
    module.generate(4, sampler=Heun(3), batch_size=3)
    per_image = 5 * (2 if isinstance(module, zoo.GuidedLatentDiffusion) else 1)
    assert module.network_evaluations == 4 * per_image


def test_generate_leaves_the_mode_and_the_weights_alone(module) -> None:
    before = copy.deepcopy(module.state_dict())
    module.train()
    module.generate(1)
    assert module.training and module.denoiser.training
    first_stage = module.first_stage
    assert not isinstance(first_stage, nn.Module) or not first_stage.training
    module.eval()
    assert all(
        torch.equal(a, b)
        for a, b in zip(before.values(), module.state_dict().values(), strict=True)
    )


def test_config_of_rebuilds_the_same_architecture(module) -> None:
    config = zoo.config_of(module)
    assert config["_target_"].endswith(type(module).__name__) and "recipe" not in config
    module.sampler, before = DDIM(17), module.sampler
    assert zoo.config_of(module)["sampler"]["num_steps"] == 17
    module.sampler = before
    copied = pickle.loads(pickle.dumps(module))
    assert zoo.config_of(copied) == config
    assert torch.equal(copied.generate(2), module.generate(2))


def test_a_training_step_reaches_every_trained_parameter() -> None:
    for make in MAKERS:
        model = randomized(make()).train()
        model.recipe = zoo.Recipe(torch.optim.AdamW)
        model.log = lambda *_, **__: None
        images = torch.randn(4, 1, 8, 8).clamp(-1, 1)
        step = model.training_step(Batch(images, torch.tensor([0, 1, 2, 0])), 0)
        assert step["loss_per_image"].shape == step["t"].shape == (4,)
        assert step["loss"].item() == pytest.approx(step["loss_per_image"].mean().item(), rel=1e-5)
        step["loss"].backward()
        for name, parameter in model.named_parameters():
            if name.startswith("first_stage"):
                assert not parameter.requires_grad
            else:
                assert parameter.grad is not None, name


def test_predict_takes_a_number_a_tensor_or_a_level() -> None:
    model = randomized(ddpm())
    x, condition = torch.randn(2, 1, 8, 8), model.conditioner([0, 1])
    by_number = model.predict(x, 40.0, condition).x0
    by_tensor = model.predict(x, torch.tensor([40.0, 40.0]), condition).x0
    by_level = model.predict(x, model.diffusion.schedule(40.0), condition).x0
    torch.testing.assert_close(by_tensor, by_number, rtol=1e-5, atol=1e-5)
    assert torch.equal(by_level, by_number)
    raw = model.denoiser(x, torch.full((2,), 39.0), condition)  # the reference's t counts from 0
    level = model.diffusion.schedule(40.0)
    torch.testing.assert_close(
        by_number, (x - level.sigma * raw) / level.alpha, rtol=1e-4, atol=1e-4
    )


# Guidance


def test_guidance_of_one_is_conditional_and_of_zero_unconditional_bit_for_bit() -> None:
    model = randomized(guided_latent_diffusion())
    labels = [0, 1, 2]
    assert torch.equal(
        model.generate(3, labels, guidance=ClassifierFree(1.0)),
        model.generate(3, labels, guidance=Unguided()),
    )
    null = model.generate(3, model.conditioner.null(3), guidance=Unguided())
    assert torch.equal(model.generate(3, labels, guidance=ClassifierFree(0.0)), null)


def test_guidance_on_x0_equals_guidance_on_the_noise() -> None:
    model = randomized(guided_latent_diffusion()).double()
    x, level, scale = torch.randn(3, 2, 4, 4).double(), model.diffusion.schedule(300.0), 2.5
    condition, null = model.conditioner([0, 1, 2]), model.conditioner.null(3)
    guided = ClassifierFree(scale)(model.predict, condition, null, lambda x0: x0)(x, level).x0
    time = torch.full((3,), 299.0)
    noise_c, noise_u = (model.denoiser(x, time, c) for c in (condition, null))
    noise = (1 + (scale - 1)) * noise_c - (
        scale - 1
    ) * noise_u  # the paper's eq. 6 with w = scale - 1
    torch.testing.assert_close(
        guided, (x - level.sigma * noise) / level.alpha, rtol=1e-7, atol=1e-7
    )


def test_a_negative_condition_takes_the_place_of_null() -> None:
    model = randomized(guided_latent_diffusion())
    assert not torch.equal(model.generate(2, [0, 0], negative=[1, 1]), model.generate(2, [0, 0]))
    same = model.generate(2, [1, 1], negative=[1, 1])
    plain = model.generate(2, [1, 1], guidance=Unguided())
    assert (same.int() - plain.int()).abs().max() <= 1


def test_clip_is_applied_after_mixing() -> None:
    def predict(x, level, condition):
        from zoo.records import Prediction

        return Prediction(condition.vector.float().reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2))

    both = ClassifierFree(3.0)(
        predict,
        Condition(vector=torch.tensor([2])),
        Condition(vector=torch.tensor([1])),
        lambda x0: x0.clamp(-1, 3.5),
    )
    assert both(torch.zeros(1, 1, 2, 2), None).x0.unique().item() == 3.5  # 1 + 3 (2 - 1) = 4


# Likelihood


def test_bits_per_dim_is_the_sum_of_its_terms_and_depends_on_the_seed_alone() -> None:
    model = randomized(improved_ddpm())
    images = torch.randint(0, 256, (3, 1, 8, 8)) / 127.5 - 1
    whole = model.bits_per_dim(images, [0, 1, 2], num_steps=5, seed=3)
    part = model.bits_per_dim(images[1:2], [1], num_steps=5, seed=3, indices=[1])
    torch.testing.assert_close(part, whole[1:2], rtol=1e-4, atol=1e-4)
    assert (whole > 0).all() and not torch.equal(
        whole, model.bits_per_dim(images, [0, 1, 2], 5, seed=4)
    )
    bound = model.bound(images, [0, 1, 2], num_steps=5, seed=3)
    assert bound.steps.shape == (3, 4) and bound.decoder.shape == bound.prior.shape == (3,)
    torch.testing.assert_close(bound.prior + bound.steps.sum(1) + bound.decoder, whole)


def test_latents_have_no_bits_per_dim() -> None:
    with pytest.raises(ValueError, match="pixel model"):
        latent_diffusion().bits_per_dim(torch.zeros(1, 1, 8, 8), [0])


# What does not go together


def test_impossible_combinations_are_refused_with_the_remedy() -> None:
    learned = GaussianDiffusion(Cosine(), variance=LearnedVariance(), objective=Hybrid())
    with pytest.raises(ValueError, match="set denoiser.out_channels=2"):
        zoo.ImprovedDDPM(UNet(1, 1, **SMALL), learned, (1, 8, 8), DDIM(3))
    with pytest.raises(ValueError, match="set denoiser.in_channels=3"):
        zoo.DDPM(UNet(1, 3, **SMALL), GaussianDiffusion(Linear()), (3, 8, 8), DDIM(3))
    with pytest.raises(ValueError, match="fixed variance"):
        zoo.DDPM(UNet(1, 2, **SMALL), learned, (1, 8, 8), DDIM(3))
    with pytest.raises(ValueError, match="learns its variance"):
        zoo.ImprovedDDPM(UNet(1, 1, **SMALL), GaussianDiffusion(Linear()), (1, 8, 8), DDIM(3))
    with pytest.raises(ValueError, match="never trained on"):
        zoo.DDPM(
            UNet(1, 1, num_classes=3, **SMALL),
            GaussianDiffusion(Linear()),
            (1, 8, 8),
            DDIM(3),
            ClassLabel(3),
            ClassifierFree(2.0),
        )
    with pytest.raises(ValueError, match="set conditioner.dropout=0.1"):
        zoo.GuidedLatentDiffusion(
            UNet(2, 2, num_classes=3, **SMALL),
            GaussianDiffusion(Linear()),
            autoencoder(),
            (1, 8, 8),
            DDIM(3),
            ClassLabel(3),
        )
    with pytest.raises(ValueError, match="zoo train model=autoencoder"):
        zoo.LatentDiffusion(
            UNet(1, 1, **SMALL), GaussianDiffusion(Linear()), None, (1, 8, 8), DDIM(3)
        )
    with pytest.raises(ValueError, match="set denoiser.num_classes=11"):
        zoo.DDPM(
            UNet(1, 1, num_classes=10, **SMALL),
            GaussianDiffusion(Linear()),
            (1, 8, 8),
            DDIM(3),
            ClassLabel(10, dropout=0.1),
        )
    with pytest.raises(ValueError, match="divisible by 2"):
        zoo.DDPM(UNet(1, 1, **SMALL), GaussianDiffusion(Linear()), (1, 7, 7), DDIM(3))
    with pytest.raises(ValueError, match="make the two equal"):
        zoo.DDPM(
            UNet(1, 1, context_dim=4, **SMALL),
            GaussianDiffusion(Linear()),
            (1, 8, 8),
            DDIM(3),
            ClassToken(3, 6),
        )
    pure_noise = FromBetas([0.5, 1.0])
    with pytest.raises(ValueError, match="Velocity"):
        zoo.DDPM(UNet(1, 1, **SMALL), GaussianDiffusion(pure_noise, Epsilon()), (1, 8, 8), DDIM(2))
    zoo.DDPM(UNet(1, 1, **SMALL), GaussianDiffusion(pure_noise, Velocity()), (1, 8, 8), DDIM(2))


def test_bad_requests_are_refused() -> None:
    model = ddpm()
    with pytest.raises(ValueError, match="2 images need as many condition, got 3"):
        model.generate(2, [0, 1, 2])
    with pytest.raises(ValueError, match=r"0 to 2, got 0 to 3"):
        model.generate(2, [0, 3])
    with pytest.raises(ValueError, match="got captions such as 'a cat'"):
        model.generate(1, ["a cat"])
    with pytest.raises(ValueError, match="never trained on"):
        model.generate(2, [0, 1], guidance=ClassifierFree(2.0))
    with pytest.raises(ValueError, match="must not be negative"):
        ClassifierFree(-1.0)


def test_no_images_give_an_empty_tensor() -> None:
    assert ddpm().generate(0).shape == (0, 1, 8, 8)


def test_dropout_replaces_the_stated_share_of_labels() -> None:
    from zoo.draw import Draw

    dropping = ClassLabel(3, dropout=0.25)
    labels = dropping(torch.zeros(4000, dtype=torch.long), Draw(0, range(4000), "dropout")).vector
    assert (labels == 3).double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (dropping(torch.zeros(9, dtype=torch.long)).vector == 0).all()
    assert FixedVariance(1.0).fraction == 1 and Unconditional().null(3) == Condition()
