"""A verb's config: composed by hydra, every value checked, mistakes in one line."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import paths
from zoo.command.overrides import key_of, quoted
from zoo.system.errors import SEVERAL, explain, suggestion

if TYPE_CHECKING:
    from omegaconf import DictConfig

VERSION_BASE = "1.3"


def compose(
    config_name: str, overrides: Sequence[str] = (), folders: Sequence[str | Path] = ()
) -> DictConfig:
    """The composed config of a verb, for Python users and for verbs that call other verbs.

    ``compose("train", ["model=ddpm", "trainer.max_steps=100"])``. Works within a running verb too,
    with that verb's config folders.

    Args:
        config_name: the primary config's file name without ``.yaml``.
        overrides: as on the command line.
        folders: of a user's own configs, as ``--config-dir`` names them.

    Raises:
        ValueError: an override names a config or a key that does not exist, cannot be parsed, or
            has a value of another type than its key.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    sources = [*_sources(), *(f"file://{Path(folder).absolute()}" for folder in folders)]
    search = [f"hydra.searchpath=[{','.join(map(quoted, sources))}]"] if sources else []
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(paths.configs()), version_base=VERSION_BASE):
            config = hydra_compose(
                config_name, overrides=[*overrides, *search], return_hydra_config=True
            )
            config = _without_hydra(config)
            check(config)
            return config
    except Exception as error:
        line = explain(error, lambda: known_keys(config_name))
        if line is None:
            raise
        raise ValueError(line) from error
    finally:
        GlobalHydra.instance().hydra = running


def _sources() -> list[str]:
    """The folders of the running verb, if any, that hold configs beside the zoo's own."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    return [
        f"{source.schema}://{source.path}"
        for source in HydraConfig.get().runtime.config_sources
        if source.provider not in ("hydra", "main", "schema")
    ]


def _without_hydra(config: DictConfig) -> DictConfig:
    """A composed config without hydra's own part, whose choices it may name."""
    from omegaconf import OmegaConf, open_dict

    settle_model(config, config.hydra.runtime.choices)
    with open_dict(config):
        del config["hydra"]
    OmegaConf.set_readonly(config, None)
    return config


def settle_model(config: DictConfig, choices: Any) -> None:
    """Fixes ``model_name``: the choice of the group ``model``, unless it is given.

    Raises:
        ValueError: the chosen size has no settings of the chosen model.
    """
    from omegaconf import OmegaConf

    if OmegaConf.is_missing(config, "model_size"):
        size, folder = choices["model/size"], paths.configs() / "model/size"
        models = sorted(file.stem for file in (folder / size).glob("*.yaml"))
        raise ValueError(
            f"model/size={size} has no sizes of model={choices['model']}, but of "
            f"{', '.join(models)}: set the model's own keys instead"
        )
    if "model_name" in config and OmegaConf.is_interpolation(config, "model_name"):
        config.model_name = choices["model"].replace("/", "-")


def check(config: DictConfig, needs: Sequence[str] | None = None) -> None:
    """Checks the values of a composed config; see ``zoo.command.check``.

    Args:
        config: the config.
        needs: keys of which the verb needs one, as it is about to run; None where the config is
            only composed: it need not be complete, and its files need not be here.

    Raises:
        ValueError: a value is of another type than its key, out of bounds, or missing.
    """
    from omegaconf import OmegaConf

    from zoo.command.check import check_complete, check_values

    values: Any = OmegaConf.to_container(config, resolve=True)
    if needs is not None:
        check_complete(values, needs)
    check_values(values, here=needs is not None)


def check_added(config: DictConfig, config_name: str, overrides: Sequence[str]) -> None:
    """Refuses a key that the verb does not read and that no other value refers to.

    Keys of other verbs pass where a config brings them: an experiment is for several verbs.

    Args:
        config: composed with the overrides.
        config_name: the primary config's file name without ``.yaml``.
        overrides: as hydra got them.

    Raises:
        ValueError: see above.
    """
    from omegaconf import OmegaConf

    added = {key_of(o).partition(".")[0] for o in overrides if o.startswith("+")}
    foreign = {str(key) for key in config} - _keys_of_all_verbs(paths.configs())
    if not (suspects := (added | foreign) & {str(key) for key in config}):
        return
    known, text = [str(key) for key in compose(config_name)], OmegaConf.to_yaml(config)
    for key in sorted(suspects.difference(known)):
        if not re.search(rf"\$\{{{re.escape(key)}\b", text):
            raise ValueError(f"{key}: nothing reads this key" + suggestion(key, known))


def check_removed(config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuses a ``~key`` that the verb reads: what a class takes has defaults, a verb's keys none.

    Raises:
        ValueError: see above.
    """
    from omegaconf import OmegaConf

    for key in [key_of(o) for o in overrides if o.startswith("~")]:
        parent, _, name = key.replace("/", ".").rpartition(".")
        node = OmegaConf.select(config, parent) if parent else config
        if parent in SEVERAL or node is None or "_target_" in node:
            continue
        if name not in node and not (paths.configs() / key).is_dir():
            raise ValueError(f"{key} is missing: `~` removed it; {key}=null may leave it empty")


@functools.cache
def _keys_of_all_verbs(configs: Path) -> set[str]:
    """The groups, and the highest level of every primary config and experiment."""
    keys = {folder.name for folder in configs.iterdir() if folder.is_dir()}
    for file in configs.rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        if file.parent == configs or text.startswith("# @package _global_"):
            keys |= set(re.findall(r"^(\w+):", text, re.MULTILINE))
    return keys


def register_resolvers() -> None:
    """The functions of configs, so that each number is written once: ``${mul:2,${a}}`` and such."""
    from omegaconf import OmegaConf

    from zoo.checkpoint.name import subject_suffix

    OmegaConf.register_new_resolver("subject", subject_suffix, replace=True)
    OmegaConf.register_new_resolver("mul", lambda a, b: a * b, replace=True)
    OmegaConf.register_new_resolver("floordiv", lambda a, b: a // b, replace=True)
    OmegaConf.register_new_resolver("label_rows", _label_rows, replace=True)


def _label_rows(num_classes: int | None, dropout: float) -> int:
    """Rows of a label table: one for each class, and the null label's where labels are dropped."""
    if num_classes is None:
        raise ValueError(
            "data.num_classes is null: for labels set data.num_classes=N data.condition=label, "
            "or train without them with conditioner=unconditional"
        )
    return num_classes + (dropout > 0)


@contextmanager
def hydra_raises() -> Iterator[None]:
    """Within, hydra raises its errors instead of printing them and leaving with code 1."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def known_keys(config_name: str, arguments: Sequence[str] = ()) -> list[str]:
    """Every dotted key of a config, composed with the choices of groups among the arguments."""
    choices = [a for a in arguments if (paths.configs() / key_of(a)).is_dir() and "=" in a]
    try:
        return list(dotted(compose(config_name, choices)))
    except ValueError:
        return list(dotted(compose(config_name)))


def dotted(config: DictConfig, prefix: str = "") -> dict[str, Any]:
    """The dotted keys of a config and their nodes; of an interpolation, none within it."""
    from omegaconf import DictConfig

    keys: dict[str, Any] = {}
    for key in map(str, config):
        node: Any = config._get_node(key)
        keys[f"{prefix}{key}"] = node
        inner = isinstance(node, DictConfig) and not node._is_none() and not node._is_missing()
        if inner and not node._is_interpolation():
            keys |= dotted(node, f"{prefix}{key}.")
    return keys
