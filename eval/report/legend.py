"""How a table is read, in sentences: what stands below it, whatever writes it."""

from __future__ import annotations

from collections.abc import Sequence

from eval.table.ranking import BEST, ranks
from eval.table.table import Table

ARROWS = "↓: lower is better. ↑: higher is better."
HALF = "±: half of the 95 % interval, {over}. A number without ± has no interval."
OF_WEIGHTS = "for these weights and this reference"
BEST_ROWS = (
    "Bold: the best number of a column, and every number that is not distinguishable from it. A "
    "column without bold has no difference that is more than chance, or none that was tested."
)
NONE_BEST = "Nothing is bold: no row is shown to be better than another by more than chance."
FLOOR = (
    "floor: the distance of held-out real images from the same reference, at the same number of "
    "images."
)
REAL = "real: the number of held-out real images."
CHANCE = "chance: the number of the same images with shuffled captions."
EMA = "EMA: the average of the weights over the training was measured, not its last step."
MACHINE = "Speeds and times depend on the machine, which is named beside them."


def below_floor(labels: str) -> str:
    """Why a model can score better than real images.

    Args:
        labels: how they were chosen, as a protocol has it.
    """
    reasons = [
        "the floor is of one set of real images, and chance moves it too",
        "the model was trained on the reference's images, while the floor's are others",
    ]
    if labels.startswith("balanced"):
        reasons.insert(
            0,
            "its labels are balanced, and a set with equally many images of each class is more "
            "like the reference than an independent draw",
        )
    return f"A model can lie below the floor: {'; '.join(reasons)}."


def legend(table: Table) -> list[str]:
    """The sentences that this table needs, with one on what is bold in it."""
    best: list[str] = []
    if not table.mismatches and len(table.rows) > 1:
        best = [BEST_ROWS if has_best(table) else NONE_BEST]
    return [ARROWS, *best, *of_numbers(table)]


def has_best(table: Table) -> bool:
    """Whether a row is the best of a column."""
    return any(rank.place == BEST for i in _indices(table) for rank in ranks(table, i))


def of_numbers(table: Table) -> list[str]:
    """What intervals, floors and the other words beside this table's numbers mean."""
    sentences = []
    if any(column.key.endswith("_low") for column in table.columns):
        over = f"over the {table.trainings} trainings of each method"
        if not table.trainings:
            over = OF_WEIGHTS
        sentences.append(HALF.format(over=over))
    notes = [column.note for column in table.columns if column.on_page]
    notes += [cells[i].note for _, cells in table.rows for i in _indices(table)]
    sentences += of_notes(notes)
    if table.below_floor:
        sentences.append(below_floor(str(table.protocol.get("labels", ""))))
    return sentences


def of_notes(notes: Sequence[str]) -> list[str]:
    """Explanations of the words in a table's small print."""
    words = {part.split(" ")[0] for note in notes for part in note.split(" · ")}
    meanings = {"EMA": EMA, "floor": FLOOR, "real": REAL, "chance": CHANCE, "on": MACHINE}
    return [text for word, text in meanings.items() if word in words]


def _indices(table: Table) -> list[int]:
    return [i for i, column in enumerate(table.columns) if column.on_page]
