"""A model as one safe file: save and load it, read its header, find published ones."""

from zoo.checkpoint.file import config, load, provenance, save
from zoo.system.files import sha256

__all__ = ["config", "load", "provenance", "save", "sha256"]
