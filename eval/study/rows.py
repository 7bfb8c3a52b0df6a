"""The rows that a config names: models to train, or files of trained ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from eval.study.protocol import FLAT
from zoo.checkpoint.name import folder_name
from zoo.command.help import options
from zoo.command.overrides import key_of, quoted
from zoo.system.errors import suggestion
from zoo.system.nested import leaves

_RESERVED = ("autoencoder",)  # the folder of the latent models' own
_OF_ALL = ("seed", "run_dir", "models", "train_seeds")  # keys that no row has for itself


_MEASURING = {
    "models", "data", "extractor", "metric", "protocol", "experiment", "sampler", "guidance",
    "device", "cache", "force", "run_dir", "trust", "logger", "hydra", *FLAT,
} - {"seed"}  # fmt: skip
"""The keys that mean something to models which are trained already."""


class Entry(NamedTuple):
    """A row of a config.

    Attributes:
        name: chosen by the user, or None.
        value: a model's name, a file, a run's folder, a pattern of them, several of those, or the
            overrides of a training.
    """

    name: str | None
    value: Any


class Member(NamedTuple):
    """One training of a row.

    Attributes:
        title: of its result.
        path: the model's file.
        folder: of its result.
    """

    title: str
    path: Path
    folder: Path


def entries(models: object, key: str = "models") -> list[Entry]:
    """The rows of ``models``: a text, a list of texts, or a dict from names to rows.

    ``key`` is what the config calls it, for messages.

    Raises:
        ValueError: there is none, one is of another type, or two have one name.
    """
    plain: Any = models
    if isinstance(models, ListConfig | DictConfig):
        plain = OmegaConf.to_container(models, resolve=True)
    if isinstance(plain, Mapping):
        rows = [Entry(str(name), _value(value, f"{key}.{name}")) for name, value in plain.items()]
    else:
        texts = plain if isinstance(plain, Sequence) and not isinstance(plain, str) else [plain]
        texts = [] if plain is None else texts
        if wrong := next((text for text in texts if isinstance(text, list | dict)), None):
            raise ValueError(f"{key}: {wrong} is a row that needs a name: {key}.NAME={wrong}")
        rows = [Entry(None, _value(text, key)) for text in texts]
    if not rows:
        raise ValueError(f"{key}=[] leaves nothing to compare")
    values = [row.value for row in rows if row.name is None]
    if twice := next((value for value in values if values.count(value) > 1), None):
        raise ValueError(f"{key}={values} names {twice} twice")
    _check_names([row.name for row in rows if row.name is not None], key)
    return rows


def trainings(rows: Sequence[Entry], key: str = "models") -> dict[str, list[str]] | None:
    """The overrides of each row's training by its name, or None where all rows are files.

    Raises:
        ValueError: a model is not known, some rows are files and others not, or a row's overrides
            belong to the whole comparison.
    """
    names = model_names()
    trained = [row for row in rows if isinstance(row.value, dict) or not _is_file(row.value, names)]
    if not trained:
        return None
    for row in trained:
        _check_known(row, names, key)
    if files := [row for row in rows if row not in trained]:
        raise ValueError(
            f"{key}: {files[0].value} is a file, {trained[0].name or trained[0].value} is to be "
            "trained: compare one or the other; `zoo train` writes files for both"
        )
    return {row.name or row.value: _overrides(row) for row in trained}


def check_measuring(overrides: Sequence[str]) -> None:
    """Refuses what would change a training where all models are trained already.

    Raises:
        ValueError: an override does.
    """
    for override in overrides:
        key = key_of(override)
        if key == "seed":
            raise ValueError(
                f"{override} is the seed of trainings, and models=... are trained already; "
                "protocol.seed=... is that of the images"
            )
        root = key.split(".")[0].split("/")[0]
        if root not in _MEASURING and key not in ("trainer", "trainer.accelerator"):
            raise ValueError(
                f"{override} changes a training, but models=... are files of models that are "
                "trained already: leave it out, or name models to train"
            )


def model_names() -> list[str]:
    """The models of configs/model and of the running verb's other config folders."""
    own: list[Path] = []
    if HydraConfig.initialized():
        sources = HydraConfig.get().runtime.config_sources
        own = [Path(source.path) for source in sources if source.schema == "file"]
    return list(options("model", own))


def _value(value: object, where: str) -> Any:
    if isinstance(value, dict) and value:
        return value
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(type(text) in (str, int) for text in texts) or "" in texts:
        raise ValueError(
            f"{where} is the name of a model, a file, a run's folder, or a row's overrides such "
            f"as {{model: ddpm, schedule: cosine}}; got {value!r}"
        )
    return [str(text) for text in texts] if isinstance(value, list) else str(value)


def _check_names(names: Sequence[str], key: str) -> None:
    folders = [folder_name(name) for name in names]
    for name, folder in zip(names, folders, strict=True):
        if folder in _RESERVED or "/" in name or name.startswith("."):
            raise ValueError(f"{key}: a row cannot be called '{name}', which is its folder too")
        if folders.count(folder) > 1:
            raise ValueError(f"{key}: two rows have the folder '{folder}': give them other names")


def _is_file(value: str | list[str], names: Sequence[str]) -> bool:
    """Whether a text names files, and not a model; a model's name wins over a folder's."""
    if isinstance(value, list) or any(mark in value for mark in "/*?") or value == ".":
        return True
    return value not in names and (value.endswith(".safetensors") or Path(value).exists())


def _check_known(row: Entry, names: Sequence[str], key: str) -> None:
    overrides = row.value if isinstance(row.value, dict) else {"model": row.value}
    where = key if row.name is None else f"{key}.{row.name}"
    model = overrides.get("model")
    if model is None:
        raise ValueError(f"{where} says no model: add {where}.model=ddpm or another of `zoo list`")
    if model not in names:
        hint = suggestion(str(model), names)
        if ":" in str(model):  # what a shell leaves of models={a: x}
            hint = f"; names for rows go {key}.NAME=..., or '{key}={{NAME: ...}}' in quotes"
        file = "" if isinstance(row.value, dict) else ", and no such file"
        raise ValueError(
            f"{where}: no model called '{model}'{file}; there are {', '.join(names)}{hint}"
        )
    if wrong := next((name for name in _OF_ALL if name in overrides), None):
        raise ValueError(f"{where}.{wrong}: {wrong} belongs to the whole comparison")


def _overrides(row: Entry) -> list[str]:
    if isinstance(row.value, str):
        return [f"model={row.value}"]
    values = leaves(row.value)
    ordered = {"model": values["model"], **values}
    return [f"{name}={_text(value)}" for name, value in ordered.items()]


def _text(value: object) -> str:
    """A value in hydra's override grammar."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return quoted(value) if isinstance(value, str) else str(value)


def shown(names: Sequence[object]) -> Iterator[str]:
    """Names for a message, the first of many."""
    yield from map(str, names[:5])
    if len(names) > 5:
        yield f"{len(names) - 5} more"
