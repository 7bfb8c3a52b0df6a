"""torch's compiler for a denoiser, or a line that says what it lacks."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import Any

import torch


def compile_denoiser(module: Any, device: torch.device) -> None:
    """Has a model's denoiser compiled at its first call, in place: weights keep their names.

    Raises:
        ValueError: there is no denoiser, or no compiler for the device.
    """
    if not hasattr(module, "denoiser"):
        raise ValueError(f"compile=true: a {type(module).__name__} has no denoiser to compile")
    check_compiler(device)
    module.denoiser.compile()


def check_compiler(device: torch.device) -> None:
    """Refuses a machine without the compilers that torch calls for a device.

    Raises:
        ValueError: there is no C++ compiler, or no Triton for a GPU.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    if not any(shutil.which(name) for name in names):
        raise ValueError(
            f"compile=true needs a C++ compiler, and there is no {' or '.join(names)} here: "
            "install one, point CXX at it, or leave compile=false"
        )
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise ValueError("compile=true on a GPU needs the package triton: pip install triton")
