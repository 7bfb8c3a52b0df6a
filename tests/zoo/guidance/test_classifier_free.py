from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import mixture

from zoo.conditioner import ClassToken, Unconditional
from zoo.diffusion.parameterization import X0, Epsilon, Velocity
from zoo.guidance import ClassifierFree, Unguided
from zoo.guidance.interval import Interval
from zoo.records import Condition, Prediction
from zoo.sampler import DDIM

LABELS = torch.tensor([0, 1, 1, 0])
PARAMETERIZATIONS = [Epsilon(), Velocity(), X0()]


def guided(module, guidance, t=400.0, labels=LABELS, null=None):
    x, level = mixture.points(len(labels)), module.diffusion.schedule(t)
    null = module.conditioner.null(len(labels)) if null is None else null
    predict = guidance(module.predict, module.conditioner(labels), null, mixture.same)
    return x, level, predict(x, level)


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_a_mixture_is_guided_as_its_densities_say(parameterization, batched, scale) -> None:
    module = mixture.model(parameterization)
    for t in (40.0, 400.0, 900.0):
        x, level, got = guided(module, ClassifierFree(scale, batched=batched), t)
        expected = mixture.guided_x0(x, level, LABELS, scale)
        torch.testing.assert_close(got.x0, expected, rtol=1e-10, atol=1e-10)


def test_the_papers_w_is_one_less() -> None:
    # arXiv:2207.12598, eq. 6: (1 + w) eps(x, c) - w eps(x)
    module, w = mixture.model(), 2.0
    x, level, got = guided(module, ClassifierFree(1 + w))
    eps = [
        (x - level.alpha * module.predict(x, level, c).x0) / level.sigma
        for c in (module.conditioner(LABELS), module.conditioner.null(4))
    ]
    mixed = (1 + w) * eps[0] - w * eps[1]
    torch.testing.assert_close(got.x0, (x - level.sigma * mixed) / level.alpha)


def learned(x, level, condition):
    """A prediction with a learned variance, different for every label."""
    shift = condition.vector.to(x)[:, None, None, None]
    return Prediction(torch.sin(x + shift), torch.sigmoid(x - shift), reading=(0.3, -0.7))


@pytest.mark.parametrize(
    "settings", [{}, {"rescale": 0.7}, {"channels": 1}], ids=["plain", "rescale", "channels"]
)
def test_one_call_or_two_give_the_same(settings) -> None:
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64, generator=torch.manual_seed(0))
    condition, null = (
        Condition(vector=torch.tensor([0, 1, 2])),
        Condition(vector=torch.full((3,), 9)),
    )
    level = mixture.SCHEDULE(300.0)
    one, two = (
        ClassifierFree(2.5, batched=batched, **settings)(learned, condition, null, mixture.same)(
            x, level
        )
        for batched in (True, False)
    )
    assert torch.equal(one.x0, two.x0)
    assert torch.equal(one.variance_fraction, two.variance_fraction)
    assert torch.equal(one.variance_fraction, learned(x, level, condition).variance_fraction)


def test_evaluations_are_made_where_they_are_needed() -> None:
    module = mixture.model()
    levels = module.sampler.levels(module.diffusion.schedule)
    assert [level.t for level in levels] == [1000, 800, 600, 400, 200, 0]
    for guidance, expected in (
        (Unguided(), 5),
        (ClassifierFree(1.0), 5),
        (ClassifierFree(0.0), 5),
        (ClassifierFree(2.0), 10),
        (ClassifierFree(2.0, batched=False), 10),
        (ClassifierFree(0.0, rescale=0.5), 10),
        (ClassifierFree(2.0, interval=[300, 700]), 7),
        (ClassifierFree(2.0, interval=[400, 600]), 7),
        (ClassifierFree(2.0, interval=[401, 500]), 5),
    ):
        module.network_evaluations = 0
        module.generate(3, LABELS[:3], guidance=guidance)
        assert module.network_evaluations == 3 * expected, guidance


def test_outside_the_interval_predictions_are_conditional_bit_for_bit() -> None:
    module, guidance = mixture.model(), ClassifierFree(3.0, interval=[300, 500])
    for t, inside in ((200.0, False), (300.0, True), (500.0, True), (501.0, False)):
        x, level, got = guided(module, guidance, t)
        plain = module.predict(x, level, module.conditioner(LABELS))
        assert torch.equal(got.x0, plain.x0) != inside


@pytest.mark.parametrize("unit", ["t", "log_snr", "sigma"])
def test_units_of_an_interval(unit) -> None:
    schedule = mixture.SCHEDULE
    of = {
        "t": lambda level: level.t,
        "log_snr": lambda level: 2 * math.log(level.alpha / level.sigma),
        "sigma": lambda level: math.sqrt(1 / level.alpha**2 - 1),
    }[unit]
    low, high = sorted(of(schedule(t)) for t in (199.5, 600.5))
    interval = Interval([low, high], unit)
    inside = [t for t in (100.0, 199.0, 200.0, 600.0, 601.0, 900.0) if schedule(t) in interval]
    assert inside == [200.0, 600.0]


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_rescale_is_diffusers_rescale_of_the_output(parameterization, share) -> None:
    pipelines = pytest.importorskip(
        "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion"
    )
    module, scale = mixture.model(parameterization), 4.0
    for t in (60.0, 500.0, 960.0):
        x, level, got = guided(module, ClassifierFree(scale, rescale=share), t)
        null, text = (
            module.denoiser(x, torch.full((4,), t - 1), c)
            for c in (module.conditioner.null(4), module.conditioner(LABELS))
        )
        output = pipelines.rescale_noise_cfg(null + scale * (text - null), text, share)
        c_x, c_out = parameterization.reading(level.alpha, level.sigma)
        torch.testing.assert_close(got.x0, c_x * x + c_out * output, rtol=1e-9, atol=1e-9)
        if not isinstance(parameterization, X0):  # on x0 it would be another thing
            on_x0 = mixture.guided_x0(x, level, LABELS, scale)
            plain = module.predict(x, level, module.conditioner(LABELS)).x0
            other = pipelines.rescale_noise_cfg(on_x0, plain, share)
            assert (other - got.x0).abs().max() > 1e-3


def test_channels_beyond_the_scope_stay_conditional() -> None:
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    condition, null = Condition(vector=torch.tensor([0, 1])), Condition(vector=torch.full((2,), 9))
    level = mixture.SCHEDULE(300.0)

    def x0(guidance):
        return guidance(learned, condition, null, mixture.same)(x, level).x0

    all_, three, plain = (
        x0(ClassifierFree(3.0)),
        x0(ClassifierFree(3.0, channels=3)),
        x0(Unguided()),
    )
    assert torch.equal(three[:, :3], all_[:, :3])
    assert torch.equal(three[:, 3:], plain[:, 3:])
    assert not torch.equal(all_[:, 3:], plain[:, 3:])


def test_a_negative_condition_stands_in_for_null() -> None:
    module = mixture.model(dropout=0.0)  # never trained on a null condition
    x, level, got = guided(
        module, ClassifierFree(2.0), null=module.conditioner(1 - LABELS), labels=LABELS
    )
    wanted, unwanted = (
        module.predict(x, level, module.conditioner(c)).x0 for c in (LABELS, 1 - LABELS)
    )
    torch.testing.assert_close(got.x0, 2 * wanted - unwanted)
    images = module.generate(4, LABELS, guidance=ClassifierFree(2.0), negative=1 - LABELS)
    assert not torch.equal(images, module.generate(4, LABELS))
    with pytest.raises(ValueError, match="conditioner.dropout=0.1"):
        module.generate(4, LABELS, guidance=ClassifierFree(2.0))


def test_images_are_guided_towards_their_class() -> None:
    module = mixture.model()
    labels = torch.arange(64) % 2
    means = [
        module.generate(64, labels, DDIM(50), ClassifierFree(scale), seed=1)[labels == 1]
        .float()
        .mean()
        for scale in (0.0, 1.0, 3.0)
    ]
    assert means[0] < means[1] < means[2]


def test_conditioners_keep_what_they_were_given() -> None:
    labels = torch.tensor([2, 0])
    for conditioner in (ClassToken(3, 4), Unconditional()):
        assert torch.equal(conditioner(labels).raw, labels)
    condition = ClassToken(3, 4)(labels)
    assert condition[1:].raw.tolist() == [0]
    assert Condition.cat([condition, condition[:1]]).raw.tolist() == [2, 0, 2]
    assert Condition.cat([Condition(raw=["a"]), Condition(raw=["b"])]).raw == ["a", "b"]
    assert Condition.cat([Condition(), Condition(raw=["b"])]).raw is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": -1.0}, "must not be negative"),
        ({"rescale": 1.5}, "between 0 .* and 1 .*got 1.5"),
        (
            {"interval": [700, 200]},
            r"\[low, high\] in t, got \[700, 200\]; did you mean \[200, 700\]",
        ),
        ({"interval": [1, 2, 3]}, r"got \[1, 2, 3\]$"),
        ({"interval": [1, 2], "interval_in": "snr"}, "t, log_snr, sigma, got 'snr'"),
        ({"channels": 0}, "at least 1 channel"),
    ],
)
def test_impossible_settings_are_refused(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        ClassifierFree(**settings)


def test_rescale_needs_to_know_the_output() -> None:
    def blind(x, level, condition):
        return Prediction(x)

    guidance = ClassifierFree(2.0, rescale=0.5)
    predict = guidance(blind, Condition(), Condition(), mixture.same)
    with pytest.raises(ValueError, match="Prediction.reading"):
        predict(mixture.points(), mixture.SCHEDULE(5.0))
