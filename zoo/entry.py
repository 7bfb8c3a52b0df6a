"""``compose`` and ``run``: a verb's config in Python, and a verb from a command line."""

from zoo.command.compose import compose
from zoo.command.overrides import quoted
from zoo.command.run import run

__all__ = ["compose", "quoted", "run"]
