from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import mixture

from zoo.diffusion.parameterization import Velocity
from zoo.guidance import AutoGuidance, Unguided
from zoo.sampler import DDIM, Heun

LABELS = torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize("t", [40.0, 400.0, 900.0])
def test_away_from_the_weaker_models_x0(t) -> None:
    module, weak = mixture.model(), mixture.model(Velocity(), blur=0.8)
    x, level, condition = mixture.points(), mixture.SCHEDULE(t), module.conditioner(LABELS)
    got = AutoGuidance(weak, 2.5)(module.predict, condition, None, mixture.same)(x, level)
    right = module.predict(x, level, condition).x0
    # the weak one's x0 is 0.8 of the right one's: arXiv:2406.02507, eq. 3
    torch.testing.assert_close(got.x0, (2.5 - 1.5 * 0.8) * right, rtol=1e-10, atol=1e-10)


def test_the_weak_one_makes_its_own_condition() -> None:
    module, weak = mixture.model(dropout=0.0), mixture.model(conditional=False)
    x, level, condition = mixture.points(), mixture.SCHEDULE(300.0), module.conditioner(LABELS)
    got = AutoGuidance(weak, 3.0)(module.predict, condition, None, mixture.same)(x, level)
    # an unconditional weak one makes it classifier-free guidance
    torch.testing.assert_close(got.x0, mixture.guided_x0(x, level, LABELS, 3.0))


def test_both_networks_evaluations_are_counted() -> None:
    module, weak = mixture.model(), mixture.model()
    for sampler, guidance, expected in (
        (DDIM(5), AutoGuidance(weak, 2.0), (5, 5)),
        (DDIM(5), AutoGuidance(weak, 1.0), (5, 0)),
        (DDIM(5), AutoGuidance(weak, 2.0, [300, 700]), (5, 2)),
        (Heun(3), AutoGuidance(weak, 2.0), (5, 5)),
    ):
        module.network_evaluations = weak.network_evaluations = 0
        module.generate(3, LABELS[:3], sampler, guidance, batch_size=2)
        counted = module.network_evaluations, weak.network_evaluations
        assert counted == (3 * expected[0], 3 * expected[1])


def test_a_scale_of_one_is_the_model_alone() -> None:
    module, weak = mixture.model(), mixture.model(blur=0.5)
    plain = module.generate(4, LABELS, guidance=Unguided())
    assert torch.equal(module.generate(4, LABELS, guidance=AutoGuidance(weak, 1.0)), plain)
    assert not torch.equal(module.generate(4, LABELS, guidance=AutoGuidance(weak, 2.0)), plain)


def test_what_is_no_diffusion_model_is_refused() -> None:
    with pytest.raises(ValueError, match="weak is not a diffusion model, .* but a NoisyClassifier"):
        AutoGuidance(mixture.classifier())
    with pytest.raises(ValueError, match="must not be negative"):
        AutoGuidance(mixture.model(), -0.5)
