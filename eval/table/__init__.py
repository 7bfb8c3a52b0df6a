"""Results side by side, where they are comparable."""

from eval.table.table import Table, compare

__all__ = ["Table", "compare"]
