"""Numbers and names as text, the same in tables, pages and terminals."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime

from eval.result.record import Result, Value
from eval.result.uncertainty import BLOCKS, estimable

NONE = "–"
NOT_ESTIMABLE = "not estimable at this count"
_MONTHS = (  # whatever the locale
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def title_of(name: str, value: Value) -> str:
    """A number's name on pages; in records of earlier versions its plain name.

    >>> title_of("kid_small", Value(1.0, "", title="KID (small)"))
    'KID (small)'
    """
    return value.title or plain(name)


def measured(value: Value) -> str:
    """A number with half of its 95 % interval, where it has one.

    >>> measured(Value(0.2024, "", interval=[0.1117, 0.2931])), measured(Value(0.2024, ""))
    ('0.202 ± 0.091', '0.202')
    """
    return plus_minus(value.value, *(value.interval or (None, None)))


def plus_minus(number: float, low: float | None = None, high: float | None = None) -> str:
    """A number with half of its interval, rounded to two digits of that half.

    An end that was cut at a bound of the metric, such as 1 for a share, is nearer than the other;
    the farther one is half of the interval.

    >>> plus_minus(79.953, 79.766, 80.14), plus_minus(0.99, 0.968, 1.0), plus_minus(21.52)
    ('79.95 ± 0.19', '0.990 ± 0.022', '21.5')
    """
    half = 0.0 if low is None or high is None else max(number - low, high - number)
    if half <= 0:
        return short(number)
    digits = max(0, 1 - math.floor(math.log10(half)))
    return f"{number:,.{digits}f} ± {half:,.{digits}f}"


def notes(value: Value) -> list[str]:
    """What is needed to interpret a number, in short."""
    return [*own_notes(value), *count_notes(value), *baselines(value)]


def own_notes(value: Value) -> list[str]:
    """Notes on the number itself."""
    notes = []
    if value.interval is None and value.standard_error is not None:
        notes.append(f"standard error {short(value.standard_error)}")
    if value.corrected is not None:
        notes.append(f"bias-corrected {short(value.corrected)}")
    elif not_estimable(value):
        notes.append(f"bias-corrected: {NOT_ESTIMABLE}")
    return notes


def count_notes(value: Value) -> list[str]:
    """Notes on what the number is made of."""
    notes = []
    if value.trainings:
        notes.append(f"mean of {len(value.trainings)} trainings")
    if value.num_sets > 1:
        notes.append(f"mean of {value.num_sets} sets")
    if rank_deficient(value):
        notes.append(f"no more images than its {value.detail['dimensions']:,.0f} dimensions")
    return notes


def baselines(value: Value) -> list[str]:
    """The numbers of real images that the number is read beside."""
    floor = comparable_floor(value)
    numbers = {
        ("floor" if value.distance else "real"): floor,
        "real": value.ceiling if floor is None or value.distance else floor,
        "chance": value.chance,
        "test images": value.detail.get("test_p50"),
    }
    return [f"{name} {short(number)}" for name, number in numbers.items() if number is not None]


def comparable_floor(value: Value) -> float | None:
    """The held-out images' number, if they are as many as the value's images."""
    return value.floor if value.floor_images in (None, 0, value.num_images) else None


def has_ratio(value: Value) -> bool:
    """Whether a value is compared with its floor as a ratio: a distance that falls with counts."""
    return value.distance and not value.unbiased


def below_floor(values: Sequence[Value]) -> bool:
    """Whether a distance lies below its floor."""
    floors = ((v, comparable_floor(v)) for v in values if v.distance)
    return any(floor is not None and v.value < floor for v, floor in floors)


def rank_deficient(value: Value) -> bool:
    """Whether there are no more images than feature dimensions: no covariance of full rank."""
    return 0 < value.num_images <= value.detail.get("dimensions", 0)


def rank_warnings(results: Sequence[Result]) -> list[str]:
    """A sentence for every Fréchet distance of too few images for its features' dimensions."""
    warnings = {}
    for result in results:
        for name, value in result.values.items():
            if rank_deficient(value):
                warnings[name] = (
                    f"{title_of(name, value)} is of {value.num_images:,} images with "
                    f"{value.detail['dimensions']:,.0f} dimensions: their covariance does "
                    "not have full rank, so the distance is dominated by its bias. It is "
                    "comparable at this count only, and with no published number"
                )
    return list(warnings.values())


def not_estimable(value: Value) -> bool:
    """Whether a bias-corrected number is absent because there are too few images for one."""
    dimensions = int(value.detail.get("dimensions", 0))
    if value.corrected is not None or not dimensions or value.num_sets > 1:
        return False
    return not estimable(value.num_images, len(value.blocks) or BLOCKS, dimensions)


def plain(name: str) -> str:
    """A name without underscores."""
    return name.replace("_", " ")


def short(number: float) -> str:
    """Three significant digits, more where the integer part has them.

    >>> short(0.012345), short(3.14159), short(1234.5), short(0.0)
    ('0.0123', '3.14', '1,234', '0')
    """
    if number == 0:
        return "0"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:#.3g}".rstrip(".")


def large(number: float) -> str:
    """A count with its unit.

    >>> large(950), large(35_700_000), large(6.1e9)
    ('950', '35.7 M', '6.10 G')
    """
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(42.2), duration(754), duration(7260)
    ('42 s', '12 min 34 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def machine(name: str) -> str:
    """A device without what its maker adds to its name.

    >>> machine("Intel(R) Xeon(R) Processor, 1 threads")
    'Intel Xeon, 1 thread'
    """
    return re.sub(r"\b1 threads", "1 thread", re.sub(r"\((R|TM|C)\)| (Processor|CPU)\b", "", name))


def date(time: str) -> str:
    """An ISO time for people; another text as it is.

    >>> date("2025-11-20T12:05:09+00:00"), date("unknown")
    ('20 November 2025, 12:05 UTC', 'unknown')
    """
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return time
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment:%Y, %H:%M %Z}".rstrip()


def text_of(value: object) -> str:
    """A protocol's or budget's value in words.

    >>> text_of(None), text_of([360, 1000]), text_of(320000)
    ('not recorded', '360, 1000', '320,000')
    """
    if value is None:
        return "not recorded"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NONE
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
