import numpy as np
import pytest

from zoo.averages.length import FixedDecay, PowerFunction, lengths
from zoo.averages.power import LONGEST, coefficients, exponent, length, mismatch, products

# of sigma_rel, by Karras et al., arXiv:2312.02696
GAMMAS = [(0.05, 16.97), (0.10, 6.94)]


def tracked(power, trajectory):
    """The average of a trajectory theta(1), theta(2), ... after every step, by its recursion."""
    average, averages = 0.0, []
    for updates, theta in enumerate(trajectory):
        decay = power.decay_at(updates)
        average = decay * average + (1 - decay) * theta
        averages.append(average)
    return np.array(averages)


def rebuilt(kept_lengths, sigma_rel, trajectory, every):
    """The average rebuilt from snapshots, and the one tracked directly."""
    runs = {s: tracked(PowerFunction(s), trajectory) for s in kept_lengths}
    steps = range(every, len(trajectory) + 1, every)
    kept = [(float(step), s) for step in steps for s in kept_lengths]
    wanted = [(float(len(trajectory)), sigma_rel)]
    shares = coefficients(kept, wanted)[:, 0]
    values = np.array([runs[s][int(step) - 1] for step, s in kept])
    return shares @ values, tracked(PowerFunction(sigma_rel), trajectory)[-1]


@pytest.mark.parametrize(("sigma_rel", "gamma"), GAMMAS)
def test_the_papers_exponents(sigma_rel, gamma):
    assert exponent(sigma_rel) == pytest.approx(gamma, abs=0.005)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 6.94, 16.97, 300.0])
def test_the_length_is_the_deviation_of_the_profile_over_the_time(gamma):
    tau = (np.arange(200_000) + 0.5) / 200_000
    p = tau**gamma / (tau**gamma).sum()
    deviation = np.sqrt((p * tau**2).sum() - (p * tau).sum() ** 2)
    assert length(gamma) == pytest.approx(deviation, rel=1e-5)
    assert exponent(length(gamma)) == pytest.approx(gamma, rel=1e-8, abs=1e-6)


@pytest.mark.parametrize("sigma_rel", [-0.1, 0.0, 0.2888, 1.0, float("nan"), float("inf")])
def test_an_impossible_length_is_refused(sigma_rel):
    with pytest.raises(ValueError, match="sigma_rel is above 0 and at most 0.2886"):
        PowerFunction(sigma_rel)


def test_the_longest_is_the_mean_over_all_steps():
    theta = np.random.default_rng(0).normal(size=50)
    assert tracked(PowerFunction(LONGEST), theta)[-1] == pytest.approx(theta.mean())


@pytest.mark.parametrize("power", [1, 2, 5])
@pytest.mark.parametrize("sigma_rel", [0.05, 0.1, 0.2])
def test_the_average_of_a_power_of_time_is_the_integral_over_the_profile(sigma_rel, power):
    steps = 20_000
    gamma = exponent(sigma_rel)
    theta = (np.arange(1, steps + 1) / steps) ** power
    average = tracked(PowerFunction(sigma_rel), theta)[-1]
    assert average == pytest.approx((gamma + 1) / (gamma + power + 1), rel=1e-3)


def test_the_inner_products_are_the_integrals():
    first, second = [(1.0, 0.05), (0.5, 0.1)], [(0.7, 0.2), (1.0, 0.05)]
    tau = (np.arange(1_000_000) + 0.5) / 1_000_000

    def profile(time, sigma_rel):
        gamma = exponent(sigma_rel)
        return np.where(tau < time, (gamma + 1) / time * (tau / time) ** gamma, 0)

    numbers = [[(profile(*a) * profile(*b)).mean() for b in second] for a in first]
    np.testing.assert_allclose(products(first, second), numbers, rtol=1e-4)


def test_the_combination_is_the_solution_of_the_normal_equations():
    kept = [(step, s) for step in (100.0, 200.0, 300.0) for s in (0.05, 0.1)]
    wanted = [(300.0, 0.15), (300.0, 0.07)]
    columns = coefficients(kept, wanted)
    plain = np.linalg.solve(products(kept, kept), products(kept, wanted))
    np.testing.assert_allclose(columns, plain / plain.sum(0), rtol=1e-9)
    np.testing.assert_allclose(columns.sum(0), 1)


@pytest.mark.parametrize("sigma_rel", [0.03, 0.05, 0.08, 0.1, 0.15, 0.2])
@pytest.mark.parametrize("trajectory", ["power", "walk", "decaying walk"])
def test_a_rebuilt_average_is_the_tracked_one_of_that_length(sigma_rel, trajectory):
    steps, draw = np.arange(1, 4001), np.random.default_rng(1)
    walk = np.cumsum(draw.normal(size=4000))
    theta = {
        "power": (steps / 4000) ** 2.0,
        "walk": walk,
        "decaying walk": np.cumsum(draw.normal(size=4000) / np.sqrt(steps)),
    }[trajectory]
    ours, direct = rebuilt((0.05, 0.1), sigma_rel, theta, every=125)
    assert ours == pytest.approx(direct, abs=5e-3 * theta.std())


def test_a_tracked_length_is_its_last_snapshot_and_nothing_else():
    kept = [(step, s) for step in (10.0, 20.0, 30.0) for s in (0.05, 0.1)]
    columns = coefficients(kept, [(30.0, 0.1), (30.0, 0.05)])
    assert columns.T.tolist() == [[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0]]
    assert mismatch(kept, [(30.0, 0.1)], columns[:, :1]).item() < 1e-7


def test_the_mismatch_falls_with_the_snapshots_and_is_the_distance_of_profiles():
    distances, tau = [], (np.arange(400_000) + 0.5) / 400_000

    def profile(time, sigma_rel):
        gamma = exponent(sigma_rel)
        return np.where(tau < time, (gamma + 1) / time * (tau / time) ** gamma, 0)

    for count in (2, 5, 20):
        kept = [((i + 1) / count, s) for i in range(count) for s in (0.05, 0.1)]
        columns = coefficients(kept, [(1.0, 0.15)])
        distances.append(mismatch(kept, [(1.0, 0.15)], columns).item())
        combined = sum(
            x * profile(*average) for x, average in zip(columns[:, 0], kept, strict=True)
        )
        wanted = profile(1.0, 0.15)
        distance = np.sqrt(((combined - wanted) ** 2).mean() / (wanted**2).mean())
        assert distances[-1] == pytest.approx(distance, rel=1e-2)
    assert distances[0] > 5 * distances[1] / 4 > distances[2]


def test_names_and_the_main_one_first():
    every = lengths([0.999, 0.9999], sigma_rel=[0.05, 0.10], main=0.1)
    assert list(every) == ["0.1", "0.999", "0.9999", "0.05"]
    assert list(lengths(None, sigma_rel=[0.05, 0.1])) == ["0.05", "0.1"]
    assert lengths(0.5, warmup=False) == {"0.5": FixedDecay(0.5, warmup=False)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decay": None}, "has a decay or a sigma_rel"),
        ({"decay": []}, "has a decay or a sigma_rel"),
        ({"decay": [0.9, 0.9]}, "two averages of the weights are called 0.9"),
        ({"decay": 0.1, "sigma_rel": 0.1}, "two averages of the weights are called 0.1"),
        ({"decay": [0.9, 1.0]}, r"EMA decay must be in \[0, 1\), got 1.0"),
        ({"sigma_rel": [0.05, 0.4]}, "sigma_rel is above 0 and at most 0.2886"),
        ({"decay": [0.9, 0.99], "main": 0.999}, "main=0.999 is none of the averages 0.9, 0.99"),
    ],
)
def test_impossible_lengths_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        lengths(**arguments)
