"""Published weights in, ours out."""

from zoo.convert.family import network

__all__ = ["network"]
