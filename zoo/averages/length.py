"""How far back an average of the weights reaches: a fixed decay, or a share of the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zoo.averages.power import exponent

Numbers = float | Sequence[float] | None


@dataclass(frozen=True)
class FixedDecay:
    """An exponential moving average: every step keeps the same share of it.

    Attributes:
        decay: that share, in [0, 1).
        warmup: start with ``min(decay, (1 + n) / (10 + n))`` after n steps.
    """

    decay: float
    warmup: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"EMA decay must be in [0, 1), got {self.decay}")

    @property
    def number(self) -> float:
        """What it is called by."""
        return self.decay

    @property
    def facts(self) -> dict[str, Any]:
        """The record of it in a saved model."""
        return {"decay": self.decay}

    def decay_at(self, num_updates: int) -> float:
        """The share of the old average that the next update keeps, after so many."""
        early = (1 + num_updates) / (10 + num_updates)
        return min(self.decay, early) if self.warmup else self.decay


@dataclass(frozen=True)
class PowerFunction:
    """An average whose profile is a power of time; see ``zoo.averages.power``.

    Attributes:
        sigma_rel: its length as a share of the training, in (0, 12^-1/2].
    """

    sigma_rel: float

    def __post_init__(self) -> None:
        exponent(self.sigma_rel)

    @property
    def number(self) -> float:
        """What it is called by."""
        return self.sigma_rel

    @property
    def facts(self) -> dict[str, Any]:
        """The record of it in a saved model."""
        return {"sigma_rel": self.sigma_rel}

    def decay_at(self, num_updates: int) -> float:
        """The share that the next update keeps: (1 - 1/t)^(gamma + 1), 0 in step 1."""
        return float((1 - 1 / (num_updates + 1)) ** self._power)

    @cached_property
    def _power(self) -> float:
        return exponent(self.sigma_rel) + 1


Length = FixedDecay | PowerFunction


def lengths(
    decay: Numbers = 0.9999,
    warmup: bool = True,
    sigma_rel: Numbers = None,
    main: float | None = None,
) -> dict[str, Length]:
    """The lengths of a recipe by their names, the main one first.

    Args:
        decay: fixed decays.
        warmup: of the fixed decays.
        sigma_rel: lengths of power functions.
        main: the number of the main one; the first decay, or the first ``sigma_rel`` where there is
            no decay, when None.

    Raises:
        ValueError: there is none, one is impossible, two are called alike, or ``main`` is none of
            them.

    >>> list(lengths([0.999, 0.9999], sigma_rel=0.05, main=0.9999))
    ['0.9999', '0.999', '0.05']
    """
    every: list[Length] = [FixedDecay(number, warmup) for number in numbers(decay)]
    every += [PowerFunction(number) for number in numbers(sigma_rel)]
    names = [name_of(each.number) for each in every]
    if not every:
        raise ValueError("an EMA has a decay or a sigma_rel; recipe.ema=null averages nothing")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two averages of the weights are called {twice}: {', '.join(names)}")
    first = names[0] if main is None else name_of(main)
    if first not in names:
        raise ValueError(f"main={first} is none of the averages {', '.join(names)}")
    by_name = dict(zip(names, every, strict=True))
    return {first: by_name.pop(first), **by_name}


def numbers(value: Numbers) -> list[float]:
    """One number, several or none as a list.

    >>> numbers(0.5), numbers([1, 2]), numbers(None)
    ([0.5], [1.0, 2.0], [])
    """
    if value is None:
        return []
    return [float(each) for each in value] if isinstance(value, Sequence) else [float(value)]


def name_of(number: float) -> str:
    """An average's name: its number, as it is written.

    >>> name_of(0.10), name_of(0.99999999)
    ('0.1', '0.99999999')
    """
    return repr(float(number))


def in_words(facts: dict[str, Any]) -> str:
    """An average's record in words.

    >>> in_words({"decay": 0.999}), in_words({"sigma_rel": 0.05, "main": True})
    ('decay 0.999', 'sigma_rel 0.05')
    """
    kind = "decay" if "decay" in facts else "sigma_rel"
    return f"{kind} {float(facts[kind]):.15g}"
