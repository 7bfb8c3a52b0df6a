"""The columns of a comparison: where each cell comes from, and what it means in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from eval.result import Result, Value

NONE = "–"


@dataclass(frozen=True)
class Cell:
    """One cell: ``value`` for machines, ``text`` for people, ``note`` in small print below it."""

    value: float | int | str | None
    text: str
    note: str = ""  # its parts separated by " · "


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: its name in CSV files.
        title: its name on pages.
        definition: what it means, for a newcomer.
        cell: makes the cell from a result.
        on_page: False for columns that a page shows as another cell's note.
        higher_is_better: the direction of quality, or None.
    """

    key: str
    title: str
    definition: str
    cell: Callable[[Result], Cell]
    on_page: bool = True
    higher_is_better: bool | None = None


def columns_of(results: list[Result]) -> list[Column]:
    """The model, then how good it is, then what it costs: what a reader looks for first."""
    values: dict[str, Value] = {}
    for result in results:
        for name, value in result.values.items():
            values.setdefault(name, value)
    metrics = [c for name, value in values.items() for c in _metric_columns(name, value)]
    speed = [c for c in metrics if c.key == "images_per_second"]
    quality = [c for c in metrics if c not in speed]
    return [*SUBJECT_COLUMNS[:1], *quality, *SUBJECT_COLUMNS[1:], *speed]


def _metric_columns(name: str, value: Value) -> list[Column]:
    def cell(part: str) -> Callable[[Result], Cell]:
        def read(result: Result) -> Cell:
            found = result.values.get(name)
            number = getattr(found, part) if found is not None else None
            note = ""
            if part == "value":
                note = result.absent.get(name, "") if found is None else " · ".join(notes(found))
            return Cell(number, NONE if number is None else short(number), note)

        return read

    arrow = {True: " ↑", False: " ↓", None: ""}[value.higher_is_better]
    title = title_of(name, value)
    better, definition = value.higher_is_better, value.definition
    in_table = not name.startswith("nearest_")  # it has a section of its own
    made = [Column(name, title + arrow, definition, cell("value"), in_table, better)]
    if value.floor is not None:
        definition = (
            f"{title} of {value.floor_images} held-out real images against the same reference: "
            "what a perfect model would score, because two sets of real images differ too."
        )
        at_count = value.floor_images == value.num_images
        made.append(Column(f"{name}_floor", "noise floor", definition, cell("floor"), at_count))
    for part in ("ceiling", "chance", "standard_error", "corrected"):
        if getattr(value, part) is not None:
            definition = {
                "standard_error": f"How far chance moves {title}: which images happened to be "
                "generated, or held out.",
                "corrected": f"{title} without the bias of its count: an estimate of what an "
                "unlimited number of images would give.",
                "ceiling": f"{title} of real held-out images with their own captions.",
                "chance": f"{title} of the same real images with shuffled captions.",
            }[part]
            made.append(Column(f"{name}_{part}", _plain(part), definition, cell(part), False))
    return made


def title_of(name: str, value: Value) -> str:
    """A metric's name on pages: what it is, its count and its extractor.

    >>> title_of("fid_small_360", Value(1.0, "", extractor="small", num_images=360))
    'FID-360 (small)'
    """
    extractor = f" ({value.extractor})" if value.extractor else ""
    if name.startswith("fid"):
        return f"FID-{value.num_images}{extractor}"
    known = {
        "bits_per_dim": "bits/dim",
        "class_accuracy": "class accuracy",
        "cmmd": "CMMD",
        "inception_score": "Inception Score",
        "kid": "KID",
        "sfid": "sFID",
        "clip_score": "CLIP score",
        "images_per_second": "images/s",
        "nearest_training_image": "nearest training image",
    }
    for prefix, title in known.items():
        if name.startswith(prefix):
            return title + extractor
    return _plain(name.removesuffix(f"_{value.extractor}")) + extractor


def _plain(name: str) -> str:
    return name.replace("_", " ")


def notes(value: Value) -> list[str]:
    """What a number has to be read beside, in short."""
    notes = []
    if value.interval is not None:
        notes.append(f"95 %: {short(value.interval[0])} to {short(value.interval[1])}")
    elif value.standard_error is not None:
        notes.append(f"± {short(value.standard_error)}")
    if value.num_sets > 1:
        notes.append(f"mean of {value.num_sets} sets")
    if value.floor and value.floor_images == value.num_images:
        notes.append(f"{short(value.value / value.floor)}× floor")
    if value.ceiling is not None:
        notes.append(f"real {short(value.ceiling)}")
    if value.chance is not None:
        notes.append(f"chance {short(value.chance)}")
    if "test_p50" in value.detail:
        notes.append(f"test images {short(value.detail['test_p50'])}")
    return notes


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


def told(value: object) -> str:
    """A protocol's or budget's value in words.

    >>> told(None), told([360, 1000]), told(320000)
    ('not recorded', '360, 1000', '320,000')
    """
    if value is None:
        return "not recorded"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NONE
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def _with_first_stage(own: float | None, first: float | None, show: Callable[[float], str]) -> Cell:
    """A cost and, for a latent model, its autoencoder's share of it."""
    if own is None:
        return Cell(None, NONE, "not recorded")
    if first is None:
        return Cell(own, show(own))
    return Cell(own + first, show(own + first), f"autoencoder: {show(first)}")


def _parameters(result: Result) -> Cell:
    first = result.subject.first_stage
    return _with_first_stage(result.subject.parameters, first.parameters if first else None, large)


def _flops(result: Result) -> Cell:
    subject = result.subject
    note = f"decoding, once: {large(subject.flops_decode)}" if subject.flops_decode else ""
    return Cell(subject.flops_per_evaluation, large(subject.flops_per_evaluation), note)


def _images_seen(result: Result) -> Cell:
    first = result.subject.first_stage
    return _with_first_stage(result.budget.images_seen, first.images_seen if first else None, large)


def _training_time(result: Result) -> Cell:
    first = result.subject.first_stage
    cell = _with_first_stage(
        result.subject.training_seconds, first.training_seconds if first else None, duration
    )
    device = re.sub(r"\((R|TM|C)\)| (Processor|CPU)\b", "", result.budget.device or "")
    notes = [note for note in (device, cell.note) if note]
    return Cell(cell.value, cell.text, " · ".join(notes))


def _sampler(result: Result) -> Cell:
    subject = result.subject
    name, *settings = subject.sampler.split(", ")
    notes = [f"{subject.num_steps} steps", subject.grid, *settings]
    return Cell(", ".join([name, *notes]), name, " · ".join(notes))


def _guidance(result: Result) -> Cell:
    name, *settings = result.subject.guidance.split(", ")
    return Cell(result.subject.guidance, name, " · ".join(settings))


def _evaluations(result: Result) -> Cell:
    count = result.subject.network_evaluations
    return Cell(count, f"{count:g}")


SUBJECT_COLUMNS = [
    Column(
        "model",
        "model",
        "The generative model; everything else in its row was measured on it.",
        lambda r: Cell(r.subject.name, r.subject.name, r.subject.weights or ""),
    ),
    Column(
        "parameters",
        "parameters",
        "How many numbers the model has learned. A latent model's autoencoder counts too.",
        _parameters,
    ),
    Column(
        "flops_per_evaluation",
        "FLOPs per image and step",
        "Floating-point operations of one call of the denoising network for one image: what one "
        "step costs, before anything is said about how many steps there are.",
        _flops,
    ),
    Column(
        "images_seen",
        "images seen",
        "Training steps times batch size: how many (repeated) training images the model looked "
        "at. A latent model's autoencoder was trained first, and its images are added.",
        _images_seen,
    ),
    Column(
        "training_seconds",
        "training time",
        "How long the training took, and on which device. The autoencoder's time is added.",
        _training_time,
    ),
    Column(
        "sampler",
        "sampler",
        "The method that walks from noise to an image, how many steps it takes, and at which "
        "noise levels it stops (the grid).",
        _sampler,
    ),
    Column(
        "network_evaluations",
        "network evaluations",
        "How often the network was really called for one image, counted. With guidance each step "
        "calls it twice: with the class and without.",
        _evaluations,
    ),
    Column(
        "guidance",
        "guidance",
        "How strongly generation is pushed towards its class, beyond what the model learned.",
        _guidance,
    ),
]
