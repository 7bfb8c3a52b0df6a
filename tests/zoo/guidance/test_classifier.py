"""Classifier guidance against densities in closed form, and beside guided-diffusion's own code."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
import mixture

from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.diffusion.objective import Vlb
from zoo.diffusion.variance import FixedVariance, LearnedVariance
from zoo.guidance import Classifier, ClassifierFree, Unguided
from zoo.records import Condition
from zoo.sampler import DDIM, Ancestral, Heun, grid
from zoo.schedule import Cosine, Linear

ROOT = Path(__file__).parents[3]
GOLDEN = load_file(ROOT / "tests" / "golden" / "guidance.safetensors")
LABELS = torch.tensor([0, 1, 1, 0])


def _script():
    before = list(sys.path)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    path = ROOT / "benchmarks" / "golden_guidance.py"
    spec = importlib.util.spec_from_file_location("golden_guidance", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


golden = _script()


class Stated(nn.Module):
    """A classifier whose gradient is a formula."""

    num_classes = 10

    def gradient(self, x, level, labels):
        return golden.gradient(x, torch.full((len(x),), level.t - 1))


class Silence:
    def normal(self, like):
        return torch.zeros_like(like)


@pytest.mark.parametrize("case", golden.CHAINS, ids=lambda case: case.name)
def test_both_algorithms_walk_as_in_guided_diffusion(case) -> None:
    schedule = Linear() if case.noise_schedule == "linear" else Cosine()
    fixed = FixedVariance(0.0 if case.sigma_small else 1.0)
    diffusion = GaussianDiffusion(
        schedule,
        variance=LearnedVariance() if case.learn_sigma else fixed,
        objective=Vlb() if case.learn_sigma else None,
    )

    def predict(x, level, condition):
        output = golden.model(x, torch.full((len(x),), level.t - 1), case.learn_sigma)
        return diffusion.predict(output, x, level)

    text = case.timestep_respacing
    count = sum(int(n) for n in text.removeprefix("ddim").split(","))
    kind = DDIM if case.ddim else Ancestral
    sampler = kind(count, partial(grid.respaced, sections=text))
    guided = Classifier(Stated())(predict, Condition(raw=[3]), None, lambda x0: x0.clamp(-1.0, 1.0))
    levels = sampler.levels(schedule)
    walk = list(sampler.steps(guided, golden.START, levels, Silence(), schedule))
    wanted = GOLDEN[f"chain.{case.name}"]
    torch.testing.assert_close(golden.fifth(walk), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("t", [40.0, 400.0, 900.0])
@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_an_optimal_classifier_does_what_classifier_free_guidance_does(scale, t) -> None:
    # grad log p(y | x) is the score of the class less the score of all
    module, level, x = mixture.model(conditional=False), mixture.SCHEDULE(t), mixture.points()
    condition = module.conditioner(LABELS)
    guidance = Classifier(mixture.classifier(), scale)
    got = guidance(module.predict, condition, None, mixture.same)(x, level)
    expected = mixture.guided_x0(x, level, LABELS, scale)
    torch.testing.assert_close(got.x0, expected, rtol=1e-10, atol=1e-10)


def test_algorithm_2_moves_the_noise_by_sigma_times_the_gradient() -> None:
    module, level, x = mixture.model(), mixture.SCHEDULE(300.0), mixture.points()
    condition, network = module.conditioner(LABELS), mixture.classifier()
    plain = Unguided()(module.predict, condition, None, mixture.same)(x, level)
    got = Classifier(network, 3.0)(module.predict, condition, None, mixture.same)(x, level)
    eps, moved = ((x - level.alpha * p.x0) / level.sigma for p in (plain, got))
    gradient = network.gradient(x, level, LABELS)
    torch.testing.assert_close(moved, eps - level.sigma * 3.0 * gradient)
    torch.testing.assert_close(got.score, 3.0 * gradient)


def test_algorithm_1_moves_the_mean_by_the_variance_times_the_gradient() -> None:
    module, x = mixture.model(), mixture.points()
    condition, network = module.conditioner(LABELS), mixture.classifier()
    levels = Ancestral(20).levels(mixture.SCHEDULE)
    now, to = levels[8:10]
    means = [
        next(Ancestral(20).steps(predict, x, [now, to], Silence(), mixture.SCHEDULE))
        for predict in (
            guidance(module.predict, condition, None, mixture.same)
            for guidance in (Unguided(), Classifier(network, 3.0))
        )
    ]
    # DDPM, eq. 7: the posterior variance of the respaced step
    beta = 1 - now.alpha**2 / to.alpha**2
    variance = beta * to.sigma**2 / now.sigma**2
    expected = means[0] + variance * 3.0 * network.gradient(x, now, LABELS)
    torch.testing.assert_close(means[1], expected, rtol=1e-11, atol=1e-11)


def test_the_gradient_is_added_behind_the_clip() -> None:
    module, level, x = mixture.model(), mixture.SCHEDULE(700.0), 2 * mixture.points()
    condition = module.conditioner(LABELS)

    def clip(x0):
        return x0.clamp(-0.1, 0.1)

    plain = Unguided()(module.predict, condition, None, clip)(x, level)
    got = Classifier(mixture.classifier(), 5.0)(module.predict, condition, None, clip)(x, level)
    torch.testing.assert_close(got.x0, plain.x0 + level.sigma**2 / level.alpha * got.score)
    assert got.x0.abs().max() > 0.1


def test_guidances_nest() -> None:
    module, level, x = mixture.model(), mixture.SCHEDULE(300.0), mixture.points()
    condition, null = module.conditioner(LABELS), module.conditioner.null(4)
    guidance = Classifier(mixture.classifier(), 2.0, guidance=ClassifierFree(3.0))
    assert guidance.needs_null
    got = guidance(module.predict, condition, null, mixture.same)(x, level)
    # p(x)^(1 - 3) p(x | y)^3 (p(x | y) / p(x))^2
    expected = mixture.guided_x0(x, level, LABELS, 5.0)
    torch.testing.assert_close(got.x0, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "sampler", [Ancestral(20), DDIM(20), Heun(10)], ids=lambda s: type(s).__name__
)
def test_an_unconditional_model_draws_the_asked_class(sampler) -> None:
    module = mixture.model(conditional=False)
    labels = torch.arange(40) % 2
    guidance = Classifier(mixture.classifier(), 2.0)
    images = module.generate(40, labels, sampler, guidance, batch_size=16).float() / 127.5 - 1
    pulled = images.flatten(1).mean(1)
    assert ((pulled > 0.05).long() == labels).float().mean() > 0.95
    # the same noise without labels of one's own: they are drawn, and not all alike
    drawn = module.generate(40, None, sampler, guidance).float().flatten(1).mean(1) / 127.5 - 1
    assert 0.2 < (drawn > 0.05).float().mean() < 0.8
    again = module.generate(40, None, sampler, guidance, batch_size=7)
    assert (again.float().flatten(1).mean(1) / 127.5 - 1 - drawn).abs().max() < 0.02


def test_evaluations_of_the_classifier_are_counted_within_the_interval() -> None:
    module, network = mixture.model(), mixture.classifier()
    for interval, expected in ((None, 5), ([300, 700], 2), ([1, 2], 0)):
        module.network_evaluations = network.network_evaluations = 0
        module.generate(3, LABELS[:3], guidance=Classifier(network, 2.0, interval))
        assert (module.network_evaluations, network.network_evaluations) == (15, 3 * expected)


def test_pure_noise_is_left_alone() -> None:
    module, x = mixture.model(), mixture.points()
    level = mixture.SCHEDULE(500.0)._replace(alpha=0.0, sigma=1.0)
    guidance = Classifier(mixture.classifier(), 2.0)

    def predict(x, level, condition):
        return module.predict(x, mixture.SCHEDULE(500.0), condition)

    got = guidance(predict, module.conditioner(LABELS), None, mixture.same)(x, level)
    assert got.score is None and got.x0.isfinite().all()


def test_labels_that_are_none_are_refused() -> None:
    module, guidance = mixture.model(conditional=False), Classifier(mixture.classifier())
    with pytest.raises(ValueError, match="class labels 0 to 1, got captions such as 'a dog'"):
        module.generate(1, ["a dog"], guidance=guidance)
    with pytest.raises(ValueError, match="0 to 1, got 7"):
        module.generate(1, [7], guidance=guidance)
    with pytest.raises(ValueError, match="got none"):
        module.generate(1, Condition(), guidance=guidance)
    with pytest.raises(ValueError, match="must not be negative"):
        Classifier(mixture.classifier(), -1.0)
    with pytest.raises(ValueError, match="the text 'model.safetensors'; only zoo sample"):
        Classifier("model.safetensors")
