"""The columns of the subject: which model it is, and its cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eval.result.record import Budget, Result
from eval.table.column import Cell, Column
from eval.table.formatting import NONE, duration, large, machine


def _with_first_stage(own: float | None, first: float | None, show: Callable[[float], str]) -> Cell:
    """A cost and, for a latent model, its autoencoder's share of it."""
    if own is None:
        return Cell(None, NONE, "not recorded")
    if first is None:
        return Cell(own, show(own))
    return Cell(own + first, show(own + first), f"autoencoder: {show(first)}")


def _parameters(result: Result) -> Cell:
    own, first = result.subject.parameters, result.subject.first_stage
    if not own:  # stored images
        return Cell(None, NONE)
    return _with_first_stage(own, first.parameters if first else None, large)


def _flops(result: Result) -> Cell:
    subject = result.subject
    if not subject.flops_per_evaluation:
        return Cell(None, NONE)
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
    notes = [note for note in (machine(result.budget.device or ""), cell.note) if note]
    return Cell(cell.value, cell.text, " · ".join(notes))


def _training_cost(result: Result) -> dict[str, Any]:
    """The cost in the checkpoint's provenance; empty in files of earlier versions."""
    cost: dict[str, Any] = result.provenance.get("cost") or {}
    return cost


def _training_flops(result: Result) -> Cell:
    per_image, images = _training_cost(result).get("flops_per_image"), result.budget.images_seen
    if per_image is None or images is None:
        return Cell(None, NONE, "not recorded")
    return Cell(per_image * images, large(per_image * images))


def _training_memory(result: Result) -> Cell:
    size = _training_cost(result).get("peak_memory_bytes")
    if size is None:
        return Cell(None, NONE, "not recorded")
    return Cell(size / 2**30, f"{size / 2**30:.3g}")


def _sampler(result: Result) -> Cell:
    subject = result.subject
    if subject.sampler is None or not subject.num_steps:
        return Cell(NONE, NONE)
    name, *settings = subject.sampler.split(", ")
    notes = [f"{subject.num_steps} steps", subject.grid or NONE, *settings]
    return Cell(", ".join([name, *notes]), name, " · ".join(notes))


def _guidance(result: Result) -> Cell:
    guidance = result.subject.guidance or NONE
    name, *settings = guidance.split(", ")
    return Cell(guidance, name, " · ".join(settings))


def _name(result: Result) -> Cell:
    subject = result.subject
    notes = [subject.weights] if subject.weights else []
    if subject.parameters and result.budget == Budget():  # stored images were never trained
        notes.append("training not recorded")
    return Cell(subject.name, subject.name, " · ".join(notes))


def _evaluations(result: Result) -> Cell:
    count = result.subject.network_evaluations
    if not count:
        return Cell(None, NONE)
    return Cell(count, f"{count:g}")


SUBJECT_COLUMNS = [
    Column(
        "model",
        "model",
        "The generative model; everything else in its row was measured on it.",
        _name,
    ),
    Column(
        "parameters",
        "parameters",
        "How many numbers the model has learned. A latent model's autoencoder counts too.",
        _parameters,
        of_cost=True,
    ),
    Column(
        "flops_per_evaluation",
        "FLOPs per image and step",
        "Floating-point operations of one call of the denoising network for one image: the cost of "
        "one step, whatever the number of steps.",
        _flops,
        of_cost=True,
    ),
    Column(
        "images_seen",
        "images seen",
        "Training steps times batch size: how many (repeated) training images the model was "
        "trained on. The images of a latent model's autoencoder, trained before it, are added.",
        _images_seen,
        of_cost=True,
    ),
    Column(
        "training_seconds",
        "training time",
        "The duration of the training, and its device. The autoencoder's time is added.",
        _training_time,
        of_cost=True,
    ),
    Column(
        "training_device",
        "training device",
        "Where the model was trained.",
        lambda r: Cell(r.budget.device, machine(r.budget.device or NONE)),
        on_page=False,
        of_cost=True,
    ),
    Column(
        "training_flops",
        "FLOPs of the training",
        "Floating-point operations of the training's networks, forwards and backwards, over all "
        "images seen; an autoencoder's own training is not in it.",
        _training_flops,
        on_page=False,
        of_cost=True,
    ),
    Column(
        "training_memory_gib",
        "training memory, GiB",
        "What the largest process of the training needed at most: a GPU's allocations, or the "
        "resident memory.",
        _training_memory,
        on_page=False,
        of_cost=True,
    ),
    Column(
        "sampler",
        "sampler",
        "The method that walks from noise to an image, how many steps it takes, and at which "
        "noise levels it stops (the grid).",
        _sampler,
        of_cost=True,
    ),
    Column(
        "network_evaluations",
        "network evaluations",
        "How often the network was called for one image, by actual count. With guidance each step "
        "calls it twice: with the class and without.",
        _evaluations,
    ),
    Column(
        "guidance",
        "guidance",
        "How strongly generation is pushed towards its class, beyond the model's own prediction.",
        _guidance,
        of_cost=True,
    ),
]
