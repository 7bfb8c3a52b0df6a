"""``zoo doctor``: what is installed, what will be used, what is missing and where to put it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from zoo import paths
from zoo.system.errors import leave

_HELP = """\
usage: zoo doctor

Shows the versions installed, the device and the precision that trainer=auto uses, the data
available, and for each metric's weights whether they are present, the sha256 expected and where to
put them. Downloads nothing. The exit code is 1 where a required package is missing or too old.

environment:
  ZOO_DATA        a folder of data sets
  ZOO_CACHE       where downloaded weights go (default ~/.cache/diffusion-zoo)
  ZOO_TRACEBACK   1: errors come with their traceback"""


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the tables; exits with code 1 where a required package is missing or too old."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "-h" in arguments or "--help" in arguments:
        print(_HELP)
        return
    if arguments:
        leave("zoo doctor", f"takes no arguments, got '{arguments[0]}'")
    from zoo.command.tables import show

    show({"packages": (lines := packages())})
    if any(state.startswith("MISSING") for state in lines.values()):
        raise SystemExit(1)  # the other tables need what is missing
    show({"machine": machine(), "data": data(), "metric weights": weights()})


def packages(distribution: str = "diffusion-zoo") -> dict[str, str]:
    """The versions installed of Python, of each requirement and of the optional ones."""
    from packaging.requirements import Requirement

    lines = {"python": platform.python_version(), distribution: metadata.version(distribution)}
    optional: dict[str, str] = {}
    for text in metadata.requires(distribution) or []:
        requirement = Requirement(text)
        if requirement.marker is None:
            lines[requirement.name] = _state(requirement.name, str(requirement.specifier))
        elif requirement.marker.evaluate({"extra": "tensorboard"}):
            line = _state(requirement.name, str(requirement.specifier))
            optional[requirement.name] = line.replace("MISSING", "optional, not installed")
    return {**lines, **optional}


def machine() -> dict[str, str]:
    """The device and precision of ``trainer=auto``, cores, memory and the free disk."""
    import torch

    from zoo.system.device import accelerator, device_name, precision

    device = accelerator()
    lines = {
        "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": f"{device} ({device_name(device)})",
        "precision": f"{precision('auto', device)} in training",
    }
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        lines[f"gpu {index}"] = f"{about.name}, {about.total_memory / 2**30:.0f} GiB"
    lines["disk here"] = f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB free"
    return lines


def data() -> dict[str, str]:
    """The data sets that are available without a download, and the contents of ``ZOO_DATA``."""
    root = paths.data_root()
    lines = {"digits": "comes with scikit-learn"}
    if root is None:
        lines["ZOO_DATA"] = "not set; a folder of data sets, such as cifar10/train.parquet"
        lines["cifar10"] = "will be downloaded from the hub at its first use"
        return lines
    if not root.is_dir():
        lines["ZOO_DATA"] = f"{root}: no such folder"
        return lines
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    lines["ZOO_DATA"] = f"{root}: {', '.join(names[:12]) or 'empty'}{', ...' * (len(names) > 12)}"
    parts = [root / "cifar10" / f"{split}.parquet" for split in ("train", "test")]
    absent = [str(part) for part in parts if not part.is_file()]
    lines["cifar10"] = f"found in {root / 'cifar10'}"
    if absent:
        lines["cifar10"] = f"{absent[0]} is missing; will be downloaded from the hub"
    return lines


def weights() -> dict[str, str]:
    """For each metric's weights whether they are present, their sha256, and where they belong."""
    from eval.extractor.weights import KNOWN_WEIGHTS, state
    from zoo.checkpoint import sha256

    lines = {}
    for name, known in KNOWN_WEIGHTS.items():
        text, serves = state(name), f" ({known.serves})" if known.serves else ""
        if text == "missing":
            text = f"missing: put it at {paths.cache() / known.file}; it is {known.address}"
        expected = " or ".join(file.sha256 for file in (known, *known.also))
        lines[name + serves] = f"{text}; expected sha256 {expected}"
    for file in sorted(paths.checkpoints().glob("*/small_*.safetensors")):
        shipped = str(file.relative_to(paths.checkpoints()).with_suffix(""))
        lines[shipped] = f"present ({file}); sha256 {sha256(file)}"
    return lines


def _state(name: str, specifier: str) -> str:
    from packaging.specifiers import SpecifierSet

    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"MISSING: pip install '{name}{specifier}'"
    if not SpecifierSet(specifier).contains(version, prereleases=True):
        return f"MISSING: {version} is installed, {specifier} is needed"
    return version


if __name__ == "__main__":
    main()
