import warnings
from itertools import pairwise

import pytest
import torch
from diffusers.training_utils import EMAModel
from lightning import Trainer
from torch import nn

from zoo.callbacks import EMA, averaged
from zoo.recipe import Recipe
from zoo.records import Batch
from zoo.trainable import Trainable


class Regression(Trainable):
    """A line, a frozen layer and a buffer; loss, validation and checkpoints as in the zoo."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.layer = nn.Linear(3, 1)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.register_buffer("count", torch.zeros(()))
        self.validated: list[torch.Tensor] = []
        self.trajectory: list[torch.Tensor] = []

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, torch.Tensor]:
        self.trajectory.append(self.layer.weight.detach().clone())
        self.count += 1
        return {"loss": self.layer(self.frozen(batch.images)).square().mean()}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated.append(self.layer.weight.detach().clone())


def fit(ema, steps=6, accumulate=1, val_every=None, module=None):
    torch.manual_seed(0)
    module = module or Regression(Recipe(torch.optim.SGD, ema=ema))
    data = [Batch(torch.randn(4, 3)) for _ in range(40)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(LeafSpec|does not have many workers)")
        trainer = Trainer(
            accelerator="cpu", max_steps=steps, accumulate_grad_batches=accumulate, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            val_check_interval=val_every, check_val_every_n_epoch=None, num_sanity_val_steps=0,
            limit_val_batches=1.0 if val_every else 0,
        )  # fmt: skip
        trainer.fit(module, Loader(data), Loader(data[:2]))
    return module, trainer


class Loader(list):
    """A list that is no tensor collection of its own to Lightning."""


@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_average_is_diffusers_own(decay, warmup):
    torch.manual_seed(0)
    network = nn.Linear(5, 4)
    ours = EMA(decay, warmup=warmup)
    ours.start(network)
    theirs = EMAModel(network.parameters(), decay=decay, use_ema_warmup=False)
    for step in range(30):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        ours.update(network)
        theirs.get_decay = lambda _, step=step: ours.decay_at(step)
        theirs.step(network.parameters())
    for mine, their in zip(ours.averages.values(), theirs.shadow_params, strict=True):
        torch.testing.assert_close(mine, their)


def test_warmup_begins_at_a_tenth_and_ends_at_the_decay():
    ema = EMA(0.9)
    assert ema.decay_at(0) == 0.1
    assert ema.decay_at(1) == pytest.approx(2 / 11)
    assert ema.decay_at(10_000) == 0.9
    assert EMA(0.9, warmup=False).decay_at(0) == 0.9


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
def test_an_impossible_decay_is_refused(decay):
    with pytest.raises(ValueError, match="EMA decay must be in"):
        EMA(decay)


def test_trained_parameters_only_and_in_float32():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2)).bfloat16()
    network[2].requires_grad_(False)
    ema = EMA()
    ema.start(network)
    ema.update(network)
    assert set(ema.averages) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert {value.dtype for value in ema.averages.values()} == {torch.float32}


def test_small_steps_are_not_lost_in_bfloat16():
    network = nn.Linear(1, 1, bias=False).bfloat16()
    nn.init.ones_(network.weight)
    ema = EMA(0.999, warmup=False)
    ema.start(network)
    nn.init.constant_(network.weight, 2.0)
    for _ in range(1000):
        ema.update(network)
    assert ema.averages["weight"].item() == pytest.approx(2 - 0.999**1000, rel=1e-4)


def test_one_update_per_optimizer_step_also_when_batches_are_accumulated():
    ema = EMA(0.9)
    module, trainer = fit(ema, steps=3, accumulate=4)
    assert trainer.global_step == 3
    assert len(module.trajectory) == 12
    assert ema.num_updates == 3


def test_the_average_of_a_training_is_the_recursion_over_its_weights():
    ema = EMA(0.8, warmup=False)
    module, _ = fit(ema, steps=6)
    expected = module.trajectory[0]
    for weight in [*module.trajectory[1:], module.layer.weight.detach()]:
        expected = torch.lerp(expected, weight, 1 - 0.8)
    torch.testing.assert_close(ema.averages["layer.weight"], expected)


def test_validation_sees_the_averages_and_training_goes_on_with_the_weights():
    ema = EMA(0.8, warmup=False)
    module, _ = fit(ema, steps=6, val_every=3)
    unvalidated, _ = fit(EMA(0.8, warmup=False), steps=6)
    assert torch.equal(module.layer.weight, unvalidated.layer.weight)
    assert len(module.validated) == 4
    assert torch.equal(module.validated[-1], ema.averages["layer.weight"])
    assert not torch.equal(module.validated[0], module.trajectory[3])


def test_an_error_in_validation_gives_the_weights_back(monkeypatch):
    def broken(self, batch, batch_idx):
        raise ZeroDivisionError

    ema = EMA(0.8)
    module = Regression(Recipe(torch.optim.SGD, ema=ema))
    monkeypatch.setattr(Regression, "validation_step", broken)
    with pytest.raises(ZeroDivisionError):
        fit(ema, val_every=3, module=module)
    assert not torch.equal(module.layer.weight, ema.averages["layer.weight"])
    with ema.applied(module):
        assert torch.equal(module.layer.weight, ema.averages["layer.weight"])


def test_applied_swaps_in_may_be_nested_and_survives_errors():
    network = nn.Linear(2, 2)
    ema = EMA()
    with pytest.raises(ValueError, match="no averages yet"), ema.applied(network):
        pass
    ema.start(network)
    raw = network.weight.detach().clone() + 1
    with torch.no_grad():
        network.weight.add_(1)
    with ema.applied(network):
        with ema.applied(network):
            assert torch.equal(network.weight, ema.averages["weight"])
        assert torch.equal(network.weight, ema.averages["weight"])
    assert torch.equal(network.weight, raw)
    with pytest.raises(KeyError), ema.applied(network):
        raise KeyError
    assert torch.equal(network.weight, raw)


def test_averaged_leaves_modules_without_averages_alone():
    module = Regression(Recipe(torch.optim.SGD))
    before = module.layer.weight.detach().clone()
    with averaged(module), averaged(nn.Linear(1, 1)):
        assert torch.equal(module.layer.weight, before)


def test_the_state_is_tensors_and_plain_containers_and_comes_back(tmp_path):
    ema, network = EMA(0.9), nn.Linear(2, 2)
    ema.start(network)
    ema.update(network)
    torch.save(ema.state_dict(), tmp_path / "state.pt")
    again = EMA(0.9)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    again.start(network)
    assert again.num_updates == 1
    assert all(torch.equal(again.averages[name], value) for name, value in ema.averages.items())


def test_averages_of_another_model_are_refused():
    ema = EMA()
    ema.load_state_dict({"num_updates": 1, "averages": {"other": torch.zeros(1)}})
    with pytest.raises(ValueError, match="resume with the model the training began with"):
        ema.start(nn.Linear(1, 1))


def walk(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))


def test_several_lengths_are_each_what_it_is_alone_to_the_bit():
    lengths = {"0.9": {"decay": 0.9}, "0.5": {"decay": 0.5}}
    lengths |= {s: {"decay": None, "sigma_rel": float(s)} for s in ("0.05", "0.1")}
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    together, alone = (
        EMA([0.9, 0.5], sigma_rel=[0.05, 0.1]),
        {k: EMA(**v) for k, v in lengths.items()},
    )
    for ema in (together, *alone.values()):
        ema.start(network)
    for _ in range(20):
        walk(network)
        for ema in (together, *alone.values()):
            ema.update(network)
    assert list(together.every) == list(lengths)
    for name, ema in alone.items():
        assert list(ema.every) == [name]
        for key, value in ema.averages.items():
            assert torch.equal(together.every[name][key], value)
    values = [ema.averages["0.weight"] for ema in alone.values()]
    assert not any(torch.equal(a, b) for a, b in pairwise(values))


def test_one_decay_is_the_plain_recursion_to_the_bit():
    torch.manual_seed(0)
    network, ema = nn.Linear(5, 4), EMA(0.99)
    ema.start(network)
    expected = [p.detach().clone() for p in network.parameters()]
    for step in range(20):
        walk(network)
        ema.update(network)
        for average, parameter in zip(expected, network.parameters(), strict=True):
            average.lerp_(parameter.detach(), 1 - min(0.99, (1 + step) / (10 + step)))
    assert all(torch.equal(a, b) for a, b in zip(ema.averages.values(), expected, strict=True))


def test_a_step_lists_no_parameters_anew_and_follows_them_when_they_move():
    network, ema = nn.Linear(3, 2), EMA(0.0, warmup=False)
    ema.start(network)
    walk(network)
    network.named_parameters = None  # so that asking for them again fails
    ema.update(network)
    assert torch.equal(ema.averages["weight"], network.weight)
    network.weight.data = torch.ones(2, 3)  # as moving a module to a device does
    ema.update(network)
    assert torch.equal(ema.averages["weight"], torch.ones(2, 3))


def test_another_length_can_be_applied_and_the_main_one_is_validated():
    ema = EMA([0.0, 0.9], warmup=False, sigma_rel=0.1, main=0.9)
    module, _ = fit(ema, steps=6, val_every=3)
    assert torch.equal(module.validated[-1], ema.every["0.9"]["layer.weight"])
    raw = module.layer.weight.detach().clone()
    for name in ("0.0", "0.9", "0.1"):
        with ema.applied(module, name):
            assert torch.equal(module.layer.weight, ema.every[name]["layer.weight"])
    assert torch.equal(ema.every["0.0"]["layer.weight"], raw)
    assert torch.equal(module.layer.weight, raw)


def test_the_state_has_every_average_and_comes_back(tmp_path):
    arguments = {"decay": [0.9, 0.5], "sigma_rel": [0.05], "main": 0.5}
    ema, network = EMA(**arguments), nn.Linear(2, 2)
    ema.start(network)
    walk(network)
    ema.update(network)
    torch.save(ema.state_dict(), tmp_path / "state.pt")
    again = EMA(**arguments)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    again.start(network)
    walk(network)
    for each in (ema, again):
        each.update(network)
    for name, averages in ema.every.items():
        for key, value in averages.items():
            assert torch.equal(again.every[name][key], value)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"decay": [0.9, 0.99]}, {"decay": 0.9}),
        ({"decay": 0.9}, {"decay": [0.9, 0.99]}),
        ({"decay": [0.9, 0.99]}, {"decay": [0.9, 0.999]}),
        ({"decay": [0.9, 0.99]}, {"decay": [0.9, 0.99], "main": 0.99}),
        ({"decay": 0.9, "sigma_rel": 0.05}, {"decay": 0.9, "sigma_rel": 0.1}),
        ({"decay": 0.9, "sigma_rel": 0.05}, {"decay": 0.9}),
    ],
)
def test_a_state_of_other_lengths_is_refused(before, now):
    ema = EMA(**before)
    ema.start(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="resume with those the training began with"):
        EMA(**now).load_state_dict(ema.state_dict())


def test_a_state_of_an_earlier_version_is_that_of_one_average():
    ema = EMA(0.9)
    ema.load_state_dict({"num_updates": 3, "averages": {"weight": torch.ones(1, 1)}})
    assert ema.num_updates == 3
    assert ema.averages["weight"].item() == 1
    ema.start(nn.Linear(1, 1, bias=False))
    assert set(ema.state_dict()) == {"num_updates", "averages"}
