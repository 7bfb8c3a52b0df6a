"""``zoo list [kind]``: what exists, one line each, from the config files and file headers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from eval.papers import files
from zoo import paths
from zoo.checkpoint import published
from zoo.command.help import options
from zoo.command.overrides import split_config_folders
from zoo.command.tables import show
from zoo.system.errors import suggestion

_GROUPS = {  # kinds, in the plural, and their folders of configs
    "models": "model",
    "sizes": "model/size",
    "data": "data",
    "schedules": "schedule",
    "parameterizations": "parameterization",
    "variances": "variance",
    "objectives": "objective",
    "samplers": "sampler",
    "guidance": "guidance",
    "conditioners": "conditioner",
    "extractors": "extractor",
    "metrics": "metric",
    "experiments": "experiment",
    "recipes": "recipe",
    "time_samplers": "recipe/time_sampler",
    "trainers": "trainer",
    "loggers": "logger",
}
KINDS = (*_GROUPS, "checkpoints", "papers")
_HELP = f"""\
kinds: {", ".join(KINDS)}; all where none is named
--config-dir FOLDER (or hydra.searchpath=[FOLDER]) shows your own configs too"""


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the tables of the kinds that ``argv`` names, or of all."""
    kinds = list(sys.argv[1:] if argv is None else argv)
    if "-h" in kinds or "--help" in kinds:
        print(f"usage: zoo list [kind ...] [--config-dir FOLDER]\n\n{_HELP}")
        return
    folders, kinds = split_config_folders(kinds)
    for kind in kinds:
        if kind not in KINDS and kind not in _GROUPS.values():
            hint = suggestion(kind, KINDS)
            print(
                f"zoo list: no kind '{kind}'; there are {', '.join(KINDS)}{hint}", file=sys.stderr
            )
            raise SystemExit(2)
    show({kind: entries(kind, folders) for kind in kinds or KINDS})


def entries(kind: str, folders: Sequence[Path] = ()) -> dict[str, str]:
    """Name and one-line description of everything of a kind, such as "samplers".

    ``folders`` are a user's own configs, with the zoo's layout.
    """
    if kind == "checkpoints":
        home = paths.checkpoints()
        models = sorted(home.rglob("*.safetensors"))
        shipped = {str(file.relative_to(home).with_suffix("")): about(file) for file in models}
        return shipped | {name: published.line(e) for name, e in published.published().items()}
    if kind == "papers":
        return {name: files.line(file) for name, file in files.files().items()}
    return options(folder(kind), folders)


def folder(kind: str) -> str:
    """The folder of configs of a kind: "sampler" of "samplers"."""
    return _GROUPS.get(kind, kind)


def about(file: Path) -> str:
    """A checkpoint in one line, from its header alone: its model, its data and its origin."""
    from zoo.checkpoint import config, provenance

    try:
        target, origin = config(file)["_target_"], provenance(file)
    except ValueError as error:
        return str(error)
    facts = [target.rpartition(".")[2]]
    facts += [f"{label} {_text(origin[key])}" for key, label in _FACTS.items() if origin.get(key)]
    facts.append(f"{file.stat().st_size / 1e6:.2f} MB")
    return ", ".join(facts)


_FACTS = {"data": "trained on", "images_seen": "images seen", "time": "made"}


def _text(value: object) -> str:
    if isinstance(value, dict):  # a data set's name among its particulars
        value = value.get("name", value)
    if isinstance(value, int):
        return f"{value:,}"
    return str(value).partition("T")[0] if isinstance(value, str) and "T" in value else str(value)


if __name__ == "__main__":
    main()
