"""The files of a diffusers folder: configs as dicts, weights as tensors; nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zoo.checkpoint.build import build
from zoo.convert.keys import load_state
from zoo.convert.weights.read import read

_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_ENDS = (".safetensors", ".safetensors.index.json", ".bin")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a JSON object")
    return content


def weights_file(folder: Path) -> Path:
    """The weights in a component's folder: safetensors before pickles, in parts or whole.

    Raises:
        ValueError: there are none under diffusers' names; says what there is.
    """
    names = [f"{stem}{end}" for end in _ENDS for stem in _STEMS]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    files = sorted(path.name for path in folder.glob("*") if path.is_file())
    variant = any(".fp16." in name for name in files)
    raise ValueError(
        f"{folder}: no weights; looked for {names[0]} and the like, "
        f"found {', '.join(files) or 'no file'}"
        + (" (a variant: rename it to be taken)" if variant else "")
    )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The state dict of a component's folder, on the CPU.

    Raises:
        ValueError: no weights, or a file that cannot be read.
    """
    return read(weights_file(folder))


def read_conditioner(folder: Path) -> Any:
    """The conditioner that ``to_diffusers`` wrote.

    Raises:
        ValueError: its config names something else than a conditioner, or its weights do not fit.
    """
    part = build(read_json(folder / "config.json"))
    if not hasattr(part, "null") or not hasattr(part, "dropout"):
        raise ValueError(f"{folder}: its config describes a {type(part).__name__}")
    return (
        load_state(part, read_weights(folder), str(folder)) if isinstance(part, nn.Module) else part
    )
