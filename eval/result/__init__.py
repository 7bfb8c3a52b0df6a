"""One evaluation's record: its numbers and how sure they are, what was measured and where."""

from eval.result.record import Budget, Environment, Protocol, Result, Value
from eval.result.subject import Subject
from eval.result.uncertainty import Estimate

__all__ = ["Budget", "Environment", "Estimate", "Protocol", "Result", "Subject", "Value"]
