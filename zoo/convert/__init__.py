"""Conversion of published weights into models of this zoo, and back to diffusers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.convert.compvis import from_compvis as from_compvis
    from zoo.convert.diffusers import from_diffusers as from_diffusers
    from zoo.convert.diffusers import to_diffusers as to_diffusers
    from zoo.convert.family import family_of as family_of
    from zoo.convert.family import network as network
    from zoo.convert.openai import from_openai as from_openai
    from zoo.convert.weights import read as read

_HOME = {  # loaded on first use: torch would slow `zoo convert --help` down
    "family_of": "family",
    "from_compvis": "compvis",
    "from_diffusers": "diffusers",
    "from_openai": "openai",
    "network": "family",
    "read": "weights",
    "to_diffusers": "diffusers",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zoo.convert' has no attribute {name!r}")
    return getattr(importlib.import_module(f"zoo.convert.{_HOME[name]}"), name)
