"""What one evaluation found: the record, how sure it is, who was measured and where."""

from eval.result.record import Budget, Environment, Protocol, Result, Subject, Value
from eval.result.uncertainty import Estimate

__all__ = ["Budget", "Environment", "Estimate", "Protocol", "Result", "Subject", "Value"]
