"""The suite passes every sampler that the zoo has, and finds what is wrong with others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml

from zoo import paths
from zoo.checkpoint.build import build
from zoo.conformance import conformance
from zoo.conformance.__main__ import main
from zoo.conformance.data import GAUSSIAN, MIXTURE
from zoo.sampler import Sampler
from zoo.schedule import Linear

CONFIGS = sorted((paths.configs() / "sampler").glob("*.yaml"))


def failures(sampler: Sampler) -> dict[str, str]:
    with torch.inference_mode():
        return {v.property: v.detail for v in conformance(sampler) if v.passed is False}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_sampler_of_the_zoo_conforms(file: Path) -> None:
    assert failures(build(yaml.safe_load(file.read_text()))) == {}


class Wrong(Sampler):
    """DDIM, with one thing wrong in each subclass."""

    def steps(self, predict, x, levels, draw, schedule) -> Iterator[torch.Tensor]:
        for k, (now, to) in enumerate(pairwise(levels)):
            c_x = to.sigma / now.sigma
            x0 = predict(x, now).x0
            x = self.step(x, x0, c_x, to.alpha - c_x * now.alpha, to, k)
            yield x

    def step(self, x, x0, c_x, c_x0, to, k):
        return c_x * x + c_x0 * x0


class Noisy(Wrong):
    def step(self, x, x0, c_x, c_x0, to, k):
        return super().step(x, x0, c_x, c_x0, to, k) + 0.01


class InPlace(Wrong):
    def step(self, x, x0, c_x, c_x0, to, k):
        return x.mul_(c_x).add_(x0, alpha=c_x0)


class Own(Wrong):
    def step(self, x, x0, c_x, c_x0, to, k):
        return super().step(x, x0, c_x, c_x0, to, k) + 0.02 * to.sigma * torch.randn_like(x)


class Joint(Wrong):
    def step(self, x, x0, c_x, c_x0, to, k):
        return super().step(x, x0, c_x, c_x0, to, k) + 1e-3 * to.sigma * x.mean()


class Half(Wrong):
    def step(self, x, x0, c_x, c_x0, to, k):
        return c_x * x + 0.5 * c_x0 * x0


class Boastful(Wrong):
    order = 2


class Greedy(Wrong):
    def steps(self, predict, x, levels, draw, schedule):
        predict(x, levels[0])
        yield from super().steps(predict, x, levels, draw, schedule)


class Short(Wrong):
    def steps(self, predict, x, levels, draw, schedule):
        *_, x = super().steps(predict, x, levels, draw, schedule)
        yield x


class Fraction(Wrong):
    def steps(self, predict, x, levels, draw, schedule):
        fraction = predict(x, levels[0]).variance_fraction
        off = 0.0 if isinstance(fraction, torch.Tensor) else 0.1 * fraction
        for y in super().steps(predict, x, levels, draw, schedule):
            yield y + off

    def evaluations(self, levels):
        return len(levels)


class FromTheEnd(Wrong):
    def steps(self, predict, x, levels, draw, schedule):
        for now, to in pairwise(levels):
            ratio = to.alpha / now.alpha  # pure noise divides by zero
            x0 = predict(x, now).x0
            x = ratio * (x - now.alpha * x0) * (to.sigma / now.sigma / ratio) + to.alpha * x0
            yield x


class Doubled(Wrong):
    def start(self, noise, first):
        return 2 * noise


class Double(Wrong):
    def step(self, x, x0, c_x, c_x0, to, k):
        return super().step(x, x0, c_x, c_x0, to, k).double()


@pytest.mark.parametrize(
    ("sampler", "properties"),
    [
        (Noisy(), {"last step"}),
        (InPlace(), {"inputs unchanged"}),
        (Own(), {"same seed, same bits"}),
        (Joint(), {"batch independence"}),
        (Half(), {"Gaussian data", "mixture of two Gaussians", "last step"}),
        (Boastful(), {"order of convergence"}),
        (Greedy(), {"network evaluations"}),
        (Short(), {"N = 7, T = 30", "N = T = 30"}),
        (Fraction(), {"learned variance"}),
        (FromTheEnd(), {"pure noise"}),
        (Doubled(), {"start"}),
        (Double(), {"float32"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Sampler) else "",
)
def test_what_is_wrong_is_found(sampler: Sampler, properties: set[str]) -> None:
    assert properties <= failures(sampler).keys()


def test_plain_ddim_written_anew_conforms() -> None:
    assert failures(Wrong()) == {}


def test_the_verb_prints_a_table_and_leaves_with_1_where_something_fails(capsys) -> None:
    main(["sampler=ddim", "sampler.num_steps=10"])
    printed = capsys.readouterr().out
    assert "17 of 17 properties hold" in printed
    with pytest.raises(SystemExit) as left:
        main(["sampler=ddim", "sampler.eta=-1"])
    assert left.value.code == 2
    assert "eta must not be negative" in capsys.readouterr().err


def test_a_users_own_sampler_is_found_beside_its_yaml(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "halved.py").write_text(
        "from zoo.sampler import DDIM\n\n"
        "class Halved(DDIM):\n"
        "    def steps(self, predict, x, levels, draw, schedule):\n"
        "        for y in super().steps(predict, x, levels, draw, schedule):\n"
        "            yield y / 2\n"
    )
    (tmp_path / "sampler").mkdir()
    (tmp_path / "sampler" / "halved.yaml").write_text("_target_: halved.Halved\nnum_steps: 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["--config-dir", str(tmp_path), "sampler=halved"])
    assert left.value.code == 1
    printed = capsys.readouterr().out
    assert "FAIL" in printed
    assert "Gaussian data: With the optimal denoiser" in printed


def test_the_known_data_are_what_they_say() -> None:
    schedule = Linear()
    now, to = schedule(700.0), schedule(40.0)
    for data in (GAUSSIAN, MIXTURE):
        # the probability flow's velocity over s = sigma / alpha is (u - x0) / s
        x = torch.tensor([-0.7, 0.1, 0.9], dtype=torch.float64)
        near = schedule.at(now.log_snr + 1e-5)
        moved = data.flow(x, now, near) / near.alpha - x / now.alpha
        ds = near.sigma / near.alpha - now.sigma / now.alpha
        x0 = data.predict()(x, now).x0
        torch.testing.assert_close(
            moved / ds, (x / now.alpha - x0) / (now.sigma / now.alpha), rtol=1e-4, atol=1e-4
        )
        shares = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
        torch.testing.assert_close(data.cdf(data.quantile(shares, to), to), shares)
    assert pytest.approx(0.5) == GAUSSIAN.spread()
    samples = MIXTURE.quantile(
        (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000, schedule(0.0)
    )
    assert samples.std().item() == pytest.approx(MIXTURE.spread(), rel=1e-3)
    assert math.isclose(sum(MIXTURE.weights), 1.0)
