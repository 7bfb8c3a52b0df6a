"""The record of one evaluation: its numbers, and everything that comparing them takes.

A result has five sides. *values* are the numbers; *protocol* is how they were measured and
*budget* is what the training was allowed to use: rows of a table agree in both. *subject* is what
is compared, *environment* is where it ran. ``provenance`` is copied from the checkpoint.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eval.result.checksum import WRONG, checksum
from eval.result.earlier import completed
from eval.result.parse import build
from eval.result.subject import Subject
from eval.result.uncertainty import BLOCKS
from zoo.system.files import write_atomically

SCHEMA = 1


@dataclass(frozen=True)
class Value:
    """One number, with what is needed to interpret it.

    Attributes:
        value: the number.
        definition: what it is, in one sentence.
        higher_is_better: None where neither direction is better.
        extractor: the name of the network whose features it is made of, or None.
        sha256: of the extractor's weights.
        num_images: how many images one number is made of.
        num_sets: the value is the mean over this many disjoint sets of ``num_images``.
        floor: the same number for held-out real images: what a perfect model reaches.
        floor_images: how many held-out images the floor is made of; it is comparable only where it
            equals ``num_images``.
        ceiling: the number of real held-out pairs of image and caption.
        chance: the number of the same images with shuffled captions.
        detail: parts of the value, such as percentiles or the sets' own numbers.
        standard_error: how far chance (which images were generated or held out) moves the value.
        interval: the 95 % interval around the value, for these weights and this reference.
        corrected: the value without the bias of its count; None where it cannot be estimated.
        blocks: the jackknife's pseudo-values, one for each block of seeds: differences between rows
            are tested with them.
        trainings: of a method that was trained several times, each training's own number, in the
            order of ``Budget.seed``; value and interval are then those of ``eval.table.trainings``.
        title: what pages call it, such as "FID-360 (small)"; "" in records of earlier versions.
        unit: of the number, or "".
        distance: it is a distance between two sets of images; its floor is that of real images.
        unbiased: its expectation does not depend on the number of images.
        column: where tables show it: under "quality", under "cost", or in a "section" of its own.
    """

    value: float
    definition: str
    higher_is_better: bool | None = None
    extractor: str | None = None
    sha256: str | None = None
    num_images: int = 0
    num_sets: int = 1
    floor: float | None = None
    floor_images: int | None = None
    ceiling: float | None = None
    chance: float | None = None
    detail: dict[str, float] = field(default_factory=dict)
    standard_error: float | None = None
    interval: list[float] | None = None
    corrected: float | None = None
    blocks: list[float] = field(default_factory=list)
    trainings: list[float] = field(default_factory=list)
    title: str = ""
    unit: str = ""
    distance: bool = False
    unbiased: bool = False
    column: str = "quality"


@dataclass(frozen=True)
class Protocol:
    """How the numbers were measured; equal in every row of a table.

    Attributes:
        data: the data set's name.
        data_fingerprint: sha256 of its content.
        image_size: (C, H, W) in pixels.
        reference: the split that the generated images are compared with.
        num_reference: its number of images; None where a statistics file does not say.
        held_out: the split that noise floor and ceiling come from.
        num_held_out: its number of images.
        num_generated: how many images were generated.
        fid_counts: the set sizes that FID is given at.
        extractors: name to sha256 of the weights.
        resize: extractor's name to how images reach its input size.
        labels: which labels or captions the images were generated for.
        seed: of the generation.
        dtype: of the network while it generated.
        metrics: metric's name to its definition, with its settings.
        blocks: how many blocks of images the intervals come from.
        name: of the versioned protocol, such as "cifar10_fid50k v1", or "".
        decoding: how files became pixels (``zoo.data.picture.DECODING``), and what a reference's
            statistics file says of its images; None in records of earlier versions.
    """

    data: str
    data_fingerprint: str
    image_size: list[int]
    reference: str
    num_reference: int | None
    held_out: str
    num_held_out: int
    num_generated: int
    fid_counts: list[int]
    extractors: dict[str, str]
    resize: dict[str, str]
    labels: str
    seed: int
    dtype: str
    metrics: dict[str, str]
    blocks: int = BLOCKS
    name: str = ""
    decoding: str | None = None


@dataclass(frozen=True)
class Budget:
    """What the training used; equal in every row of a table. None is "not recorded".

    Of ``changes``, the settings that were changed on the way, None is "none".
    """

    data_fingerprint: str | None = None
    images_seen: int | None = None
    batch_size: int | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    lr_scheduler: str | None = None
    gradient_clip: float | None = None
    ema: str | None = None
    seed: list[int] | int | None = None  # a list: the method was trained once with each
    precision: str | None = None
    device: str | None = None
    changes: str | None = None


@dataclass(frozen=True)
class Environment:
    """Where and when it ran; a table warns where its rows differ in it."""

    machine: str
    device: str
    threads: int
    versions: dict[str, str]
    time: str
    """ISO 8601, UTC."""
    peak_memory_bytes: int | None = None
    """Of the process at most, or a GPU's allocations; None in records of earlier versions."""


@dataclass(frozen=True)
class Result:
    """One evaluation; ``values`` are keyed by the metric's name, such as "fid_small_360".

    ``absent`` are the protocol's metrics that this subject cannot have, and why.
    """

    values: dict[str, Value]
    protocol: Protocol
    budget: Budget
    subject: Subject
    environment: Environment
    provenance: dict[str, Any] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def to_json(self, sealed: bool = False) -> str:
        """The record as JSON text, its schema's version first.

        Args:
            sealed: with a checksum of all its values, as files have it.

        Raises:
            ValueError: a number is not finite.
        """
        record = {"schema": SCHEMA, **asdict(self)}
        try:
            if sealed:
                record["sha256"] = checksum(record)
            return json.dumps(record, indent=2, allow_nan=False) + "\n"
        except ValueError as error:
            message = f"result of {self.subject.name}: {error}; every number must be finite"
            raise ValueError(message) from error

    @staticmethod
    def from_json(text: str, where: str = "result") -> Result:
        """Reads what ``to_json`` wrote; ``where`` names the source in errors.

        A text without a checksum, such as a file of an earlier version, is read as it is.

        Raises:
            ValueError: the text is no JSON, of another schema, a field is missing, unknown or of
                the wrong type (the field is named), or the values are not those of its checksum.
        """
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}: not JSON: {error}") from error
        if not isinstance(record, dict) or "schema" not in record:
            raise ValueError(f"{where}: not a result of `zoo evaluate`: it has no 'schema'")
        seal = record.pop("sha256", None)
        if seal is not None and seal != checksum(record):
            raise ValueError(
                f"{where}: {WRONG}: it was changed after it was measured, or is "
                "damaged; measure again, or remove its last field, sha256, to read it as it is"
            )
        schema = record.pop("schema")
        if schema != SCHEMA:
            raise ValueError(f"{where}: schema {schema!r}; this version reads schema {SCHEMA}")
        if isinstance(record.get("values"), dict):
            record["values"] = completed(record["values"])
        return build(Result, record, where)

    def save(self, path: str | Path) -> Path:
        """Writes the record and its checksum as a whole or not at all."""
        return write_atomically(path, self.to_json(sealed=True))

    @staticmethod
    def load(path: str | Path) -> Result:
        """Reads a result file.

        Raises:
            ValueError: no such file, no text, or see ``from_json``.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"no result file at {path}: `zoo evaluate` writes one")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
        return Result.from_json(text, str(path))
