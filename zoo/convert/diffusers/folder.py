"""The files of a diffusers folder: which of them hold the weights; nothing is unpickled."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zoo.checkpoint.build import build
from zoo.checkpoint.outline import outline
from zoo.convert.keys import load_state
from zoo.convert.text import read_json
from zoo.convert.weights.choice import CHOICES, choose
from zoo.convert.weights.read import read_file

_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_ENDS: tuple[Callable[[str, str], str], ...] = (  # safetensors before pickles, whole before shards
    lambda stem, dotted: f"{stem}{dotted}.safetensors",
    lambda stem, dotted: f"{stem}.safetensors.index{dotted}.json",
    lambda stem, dotted: f"{stem}{dotted}.bin",
    lambda stem, dotted: f"{stem}.bin.index{dotted}.json",
)
_VARIANT = re.compile(
    rf"(?!.*-\d+-of-\d+\.)(?:{'|'.join(_STEMS)})(?:\.([\w-]+)\.(?:safetensors|bin)|\.\w+\.index\.([\w-]+)\.json)"
)
_RAW = "non_ema"  # the variant that Stable Diffusion's folders have beside the averages


class Files:
    """The weights that are taken of a folder's files.

    Args:
        weights: "ema" or "raw"; None takes the averages where there are any.
        variant: of the file names, such as "fp16"; components without it have their only file.

    Attributes:
        origin: which weights they are, for the provenance.

    Raises:
        ValueError: ``weights`` is neither.
    """

    def __init__(self, weights: str | None = None, variant: str | None = None) -> None:
        if weights not in (None, *CHOICES):
            raise ValueError(f"weights={weights}: a folder has {' or '.join(CHOICES)}")
        self.weights, self.variant = weights, variant
        self.origin: dict[str, str] = {}
        self._variants: set[str] = set()

    def read(self, folder: Path) -> dict[str, Tensor]:
        """The state dict of a component's folder, on the CPU.

        Raises:
            ValueError: no weights, or a file that cannot be read.
        """
        path = self._file(folder)
        return choose(read_file(path), None, str(path))

    def unet(self, folder: Path) -> Path:
        """The folder of a pipeline's U-Net: that of the averages, or of the last weights.

        Raises:
            ValueError: the weights that are asked for are not there.
        """
        last, averages = folder / "unet", folder / "unet_ema"
        if not averages.is_dir():
            return last
        raw = self.weights == "raw"
        note = "the last ones (unet), not the averages" if raw else "the averages (unet_ema)"
        self.origin["weights"] = note
        return last if raw else averages

    def check_network(self, folder: Path, config: dict[str, Any]) -> None:
        """Notes which weights the U-Net, or a network alone, has.

        Raises:
            ValueError: they are not those that are asked for.
        """
        if "weights" in self.origin:
            return
        averaged = {"decay", "optimization_step"} <= config.keys()
        both = _RAW in self._present(folder)
        if self.weights == "raw" and averaged:
            raise ValueError(
                f"{folder}: weights=raw, but these are averages (decay={config['decay']})"
            )
        if self.weights == "ema" and not averaged and not both:
            raise ValueError(
                f"{folder}: weights=ema, but there are no averages beside the weights: neither "
                f"unet_ema nor a variant {_RAW} of what is not averaged"
            )
        raw = both and _RAW in self._file(folder).name
        note = f"the last ones ({_RAW}), not the averages" if raw else "the averages"
        if averaged or both:
            self.origin["weights"] = note
        else:
            self.origin["weights"] = "as in the folder, which has no averages"

    def finish(self, folder: Path) -> None:
        """Raises ValueError where no component has the variant that was asked for."""
        if self.variant is not None and self.origin.get("variant") != self.variant:
            variants = ", ".join(sorted(self._variants)) or "none"
            raise ValueError(
                f"{folder}: no file is of variant={self.variant}; variants there are {variants}"
            )

    def _file(self, folder: Path) -> Path:
        present = self._present(folder)
        variant = _RAW if self.weights == "raw" and self.variant is None else self.variant
        if variant not in present and _named(folder, "") is None and self.variant is None:
            variant = next(iter(present)) if len(present) == 1 else None
        path = _named(folder, f".{variant}" if variant in present else "")
        if path is None:
            files = sorted(path.name for path in folder.glob("*") if path.is_file())
            raise ValueError(
                f"{folder}: no weights; looked for {_ENDS[0](_STEMS[0], '')} and the like, "
                f"found {', '.join(files) or 'no file'}"
                + (f"; choose variant={' or '.join(sorted(present))}" if present else "")
            )
        if variant is not None and variant in present:
            self.origin["variant"] = variant
        return path

    def _present(self, folder: Path) -> set[str]:
        """The variants of the files in a component's folder."""
        names = (path.name for path in folder.glob("*") if path.is_file())
        matches = (_VARIANT.fullmatch(name) for name in names)
        variants = {match[1] or match[2] for match in matches if match}
        variants = {name for name in variants if _named(folder, f".{name}") is not None}
        self._variants |= variants
        return variants


def _named(folder: Path, dotted: str) -> Path | None:
    """The file of weights of a variant (".fp16", or "" for none), if there is one."""
    names = [end(stem, dotted) for end in _ENDS for stem in _STEMS]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_conditioner(folder: Path, files: Files) -> Any:
    """The conditioner that ``to_diffusers`` wrote.

    Raises:
        ValueError: its config names something else than a conditioner, or its weights do not fit.
    """
    config = read_json(folder / "config.json")
    part = outline(lambda: build(config), 0)  # the largest, BERTText, has some 600 layers
    if not hasattr(part, "null") or not hasattr(part, "dropout"):
        raise ValueError(f"{folder}: its config describes a {type(part).__name__}")
    return (
        load_state(part, files.read(folder), str(folder)) if isinstance(part, nn.Module) else part
    )


def scheduler_config_of(folder: Path, name: str | None) -> dict[str, Any]:
    """The scheduler's config as the pipeline sees it: some pipelines change it."""
    config = read_json(folder / "scheduler" / "scheduler_config.json")
    if name == "DDIMPipeline":
        config = {k: v for k, v in config.items() if k != "variance_type"}
        config["_class_name"] = "DDIMScheduler"
    if name == "StableDiffusionPipeline":
        config["steps_offset"] = 1
        config["clip_sample"] = False
    return config
