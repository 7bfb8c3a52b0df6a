"""Extractors: images to features, which do not depend on an image's batch.

They load on first use, so that their weights can be looked up without Lightning.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eval.extractor.clip import CroppedClip as CroppedClip
    from eval.extractor.clip import OpenClip as OpenClip
    from eval.extractor.dino import DinoV2 as DinoV2
    from eval.extractor.dino import Edm2DinoV2 as Edm2DinoV2
    from eval.extractor.extractor import Extractor as Extractor
    from eval.extractor.extractor import TextExtractor as TextExtractor
    from eval.extractor.inception import CleanInception as CleanInception
    from eval.extractor.inception import Inception as Inception
    from eval.extractor.small import Small as Small
    from eval.extractor.small import SmallClip as SmallClip

_HOME = {
    "CroppedClip": "clip",
    "OpenClip": "clip",
    "DinoV2": "dino",
    "Edm2DinoV2": "dino",
    "Extractor": "extractor",
    "TextExtractor": "extractor",
    "CleanInception": "inception",
    "Inception": "inception",
    "Small": "small",
    "SmallClip": "small",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"eval.extractor.{_HOME[name]}"), name)
    raise AttributeError(f"module 'eval.extractor' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
