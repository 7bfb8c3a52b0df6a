"""Numbers and names as text, the same in tables, pages and terminals."""

from __future__ import annotations

from collections.abc import Sequence

from eval.result.record import Result, Value
from eval.result.uncertainty import BLOCKS, estimable

NONE = "–"
NOT_ESTIMABLE = "not estimable at this count"


def title_of(name: str, value: Value) -> str:
    """A number's name on pages; in records of earlier versions its plain name.

    >>> title_of("kid_small", Value(1.0, "", title="KID (small)"))
    'KID (small)'
    """
    return value.title or plain(name)


def notes(value: Value) -> list[str]:
    """What is needed to interpret a number, in short."""
    notes = []
    if value.interval is not None:
        notes.append(f"95 %: {short(value.interval[0])} to {short(value.interval[1])}")
    elif value.standard_error is not None:
        notes.append(f"± {short(value.standard_error)}")
    if value.trainings:
        notes.append(f"mean of {len(value.trainings)} trainings")
    if value.num_sets > 1:
        notes.append(f"mean of {value.num_sets} sets")
    notes += _of_its_count(value)
    if value.floor is not None:
        notes.append(_floor(value, value.floor))
    if value.ceiling is not None:
        notes.append(f"real {short(value.ceiling)}")
    if value.chance is not None:
        notes.append(f"chance {short(value.chance)}")
    if "test_p50" in value.detail:
        notes.append(f"test images {short(value.detail['test_p50'])}")
    return notes


def _of_its_count(value: Value) -> list[str]:
    """Notes on the bias of a Fréchet distance at its count."""
    notes = []
    if rank_deficient(value):
        notes.append(f"no more images than its {value.detail['dimensions']:,.0f} dimensions")
    if value.corrected is not None:
        notes.append(f"bias-corrected {short(value.corrected)}")
    elif not_estimable(value):
        notes.append(f"bias-corrected: {NOT_ESTIMABLE}")
    return notes


def has_ratio(value: Value) -> bool:
    """Whether a value is compared with its floor as a ratio: a distance that falls with counts."""
    return value.distance and not value.unbiased


def _floor(value: Value, floor: float) -> str:
    if value.floor_images and value.floor_images != value.num_images:
        return f"floor {short(floor)} at {value.floor_images:,} images"
    if has_ratio(value) and floor > 0:
        return f"{short(value.value / floor)}× floor {short(floor)}"
    return f"floor {short(floor)}"


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
