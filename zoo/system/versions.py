"""The software that writes a file: versions of the libraries, commit of this checkout."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_DISTRIBUTIONS = ("diffusion-zoo", "torch", "lightning", "numpy")


def versions() -> dict[str, str | None]:
    """Version by distribution, and python's; None for one that is not installed."""
    by_name: dict[str, str | None] = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            by_name[name] = version(name)
        except PackageNotFoundError:
            by_name[name] = None
    return by_name


def version_of(library: str) -> str:
    """The version of an installed package, or "absent"."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"


def git_commit() -> str | None:
    """The checkout's commit, "-dirty" where files differ; None in an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # a wheel may lie inside some other repository
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
