"""The options of a diffusers config: all are read, and unknown ones are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Options:
    """The options of one diffusers config, each of which has to be read.

    Args:
        config: the content of ``config.json``; entries that begin with "_" are not options.
        what: the class and perhaps the folder, for the messages.
        defaults: diffusers' values of absent options.

    Attributes:
        values: the options that the config has.

    >>> options = Options({"act_fn": "mish"}, "UNet2DModel")
    >>> options.must_be("act_fn", "silu", "swish")
    Traceback (most recent call last):
    ...
    ValueError: UNet2DModel: option act_fn='mish' is not supported: possible is 'silu' or 'swish'
    """

    def __init__(
        self, config: Mapping[str, Any], what: str, defaults: Mapping[str, Any] | None = None
    ) -> None:
        self.what = what
        self.values = {k: v for k, v in config.items() if not k.startswith("_")}
        self._defaults = dict(defaults or {})
        self._read: set[str] = set()

    def take(self, name: str) -> Any:
        """The value of an option, or diffusers' default; lists for tuples."""
        self._read.add(name)
        value = self.values.get(name, self._defaults.get(name))
        return list(value) if isinstance(value, tuple) else value

    def must_be(self, name: str, *possible: Any) -> None:
        """Refuses an option with any other value than ``possible``."""
        self._read.add(name)
        value = self.values.get(name, possible[0])
        if not any(value == choice and (value is None) == (choice is None) for choice in possible):
            raise self.refusal(name, "possible is " + " or ".join(map(repr, possible)))

    def ignore(self, *names: str) -> None:
        """Options that do not change a number that the model computes."""
        self._read.update(names)

    def single(self, name: str) -> Any:
        """An option that is a value or a list of equal values, one per level.

        Raises:
            ValueError: the levels' values differ.
        """
        value = self.take(name)
        if not isinstance(value, list):
            return value
        if any(item != value[0] for item in value):
            raise self.refusal(name, "possible is one value for all levels")
        return value[0] if value else None

    def finish(self) -> None:
        """Refuses options that were not read.

        Raises:
            ValueError: names them, with their values.
        """
        unread = {name: value for name, value in self.values.items() if name not in self._read}
        if unread:
            shown = ", ".join(f"{name}={value!r}" for name, value in sorted(unread.items())[:5])
            raise ValueError(f"{self.what}: unknown options are not skipped: {shown}")

    def refusal(self, name: str, why: str) -> ValueError:
        """The error that names an option and its value."""
        value = self.values.get(name, self._defaults.get(name))
        return ValueError(f"{self.what}: option {name}={value!r} is not supported: {why}")


def multipliers(widths: Sequence[int]) -> list[float]:
    """``channel_mult`` for which ``int(mult * widths[0])`` gives the widths again.

    >>> multipliers([128, 256, 320])
    [1, 2, 2.5]
    """
    base, factors = widths[0], []
    for width in widths:
        mult: float = width // base if width % base == 0 else width / base
        if int(mult * base) < width:  # the quotient was rounded down
            mult += 2**-40
        factors.append(mult)
    return factors
