"""``compose`` and ``run``: a verb's config in Python, and a verb from a command line."""

from zoo.command.overrides import quoted
from zoo.command.run import compose, run

__all__ = ["compose", "quoted", "run"]
