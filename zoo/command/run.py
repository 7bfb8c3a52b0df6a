"""Runs a verb under hydra: compose the config, call its task, put errors into one line.

Nothing heavy is imported until it is needed: ``--help`` reads the config files as text, hydra
comes in when a config is composed, torch when the task is called.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from zoo import paths
from zoo.command.overrides import make_current_folder_importable, quoted, split_config_folders
from zoo.system.errors import explain

if TYPE_CHECKING:
    from omegaconf import DictConfig

_VERSION_BASE = "1.3"

# A verb writes into its own ``run_dir`` and nowhere else: no outputs/ folder in the current one.
# The runs of a sweep get numbered folders in one of the sweep's, which ``run_dir=...`` names.
_SETTINGS = {
    "hydra.run.dir": ".",
    "hydra.sweep.dir": "runs/sweep-${now:%Y-%m-%d_%H-%M-%S}",
    "hydra.sweep.subdir": "${hydra.job.num}",
    "hydra.output_subdir": "null",
    "hydra/job_logging": "disabled",
    "hydra/hydra_logging": "disabled",
}


def run(verb: str, config_name: str, task: str, argv: Sequence[str] | None = None) -> None:
    """Composes ``config_name`` with the overrides in ``argv`` and calls ``task`` with it.

    Hydra's own flags work: ``-m``, ``--cfg job --resolve``, ``--config-dir``, ``--config-name``.
    A user's mistake ends the process with exit code 2 and one line on stderr; with
    ``ZOO_TRACEBACK=1`` the traceback comes instead.

    Args:
        verb: the verb's name, for messages.
        config_name: the primary config's file name without ``.yaml``.
        task: ``"module:function"``; imported only once the config is composed.
        argv: the arguments after the verb; ``sys.argv[1:]`` when None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    make_current_folder_importable()
    if "-h" in arguments or "--help" in arguments:
        from zoo.command.help import text

        print(text(verb, config_name, split_config_folders(arguments)[0]))
        return
    try:
        _run_hydra(verb, config_name, task, arguments)
    except KeyboardInterrupt:
        print(f"zoo {verb}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        _leave(verb, error, lambda: _known_keys(config_name))


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
        ValueError: an override names a config or a key that does not exist, or cannot be parsed.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    _register_resolvers()
    sources = [*_sources(), *(f"file://{Path(folder).absolute()}" for folder in folders)]
    search = [f"hydra.searchpath=[{','.join(map(quoted, sources))}]"] if sources else []
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(paths.configs()), version_base=_VERSION_BASE):
            cfg = hydra_compose(
                config_name, overrides=[*overrides, *search], return_hydra_config=True
            )
        return _without_hydra(cfg)
    except Exception as error:
        line = explain(error, lambda: _known_keys(config_name))
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


def _without_hydra(cfg: DictConfig) -> DictConfig:
    """A composed config without hydra's own part, whose choices it may name."""
    from omegaconf import OmegaConf, open_dict

    _settle_model(cfg, cfg.hydra.runtime.choices)
    with open_dict(cfg):
        del cfg["hydra"]
    OmegaConf.set_readonly(cfg, None)
    return cfg


def _settle_model(cfg: DictConfig, choices: Any) -> None:
    """Fixes ``model_name``: the choice of the group, unless it is given.

    Raises:
        ValueError: the chosen size has no settings of the chosen model.
    """
    from omegaconf import OmegaConf

    if OmegaConf.is_missing(cfg, "model_size"):
        size, folder = choices["model/size"], paths.configs() / "model/size"
        models = sorted(file.stem for file in (folder / size).glob("*.yaml"))
        raise ValueError(
            f"model/size={size} has no sizes of model={choices['model']}, but of "
            f"{', '.join(models)}: set the model's own keys instead"
        )
    if "model_name" in cfg and OmegaConf.is_interpolation(cfg, "model_name"):
        cfg.model_name = choices["model"].replace("/", "-")


def _run_hydra(verb: str, config_name: str, task: str, arguments: list[str]) -> None:
    from hydra import version
    from hydra._internal.utils import _run_hydra as run_hydra
    from hydra._internal.utils import get_args_parser

    # hydra.main would read sys.argv, and sys.argv must stay whole: Lightning starts the other
    # ranks of a distributed run by repeating it.
    _register_resolvers()
    version.setbase(_VERSION_BASE)
    parser = get_args_parser()
    parser.usage = f"zoo {verb} [group=name ...] [key=value ...]; `zoo {verb} --help` says more"
    args = parser.parse_intermixed_args(arguments)  # flags may follow overrides
    values = {key.lstrip("+~"): text for key, _, text in (o.partition("=") for o in args.overrides)}
    settings = {**_SETTINGS, "hydra.job.name": verb}
    if "run_dir" in values:  # as text: hydra makes the sweep's folder before it composes a run
        settings["hydra.sweep.dir"] = values["run_dir"]
    args.overrides = [f"{k}={v}" for k, v in settings.items() if k not in values] + args.overrides
    with _hydra_raises():
        run_hydra(
            args=args,
            args_parser=parser,
            task_function=_task_function(verb, config_name, task),
            config_path=str(paths.configs()),
            config_name=config_name,
        )


def _register_resolvers() -> None:
    """The functions of configs, so that each number is written once: ``${mul:2,${a}}`` and such."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("mul", lambda a, b: a * b, replace=True)
    OmegaConf.register_new_resolver("floordiv", lambda a, b: a // b, replace=True)
    OmegaConf.register_new_resolver("label_rows", _label_rows, replace=True)


def _label_rows(num_classes: int | None, dropout: float) -> int:
    """Rows of a label table: one for each class, and the null label's where labels are dropped."""
    if num_classes is None:
        raise ValueError("the data has no classes (num_classes is null): conditioner=unconditional")
    return num_classes + (dropout > 0)


def _task_function(verb: str, config_name: str, task: str) -> Callable[[DictConfig], Any]:
    """The task as hydra wants it; its module is imported when it is called."""
    from hydra.core.hydra_config import HydraConfig

    def call(cfg: DictConfig) -> Any:
        try:
            _settle_model(cfg, HydraConfig.get().runtime.choices)
            _settle_run_dir(cfg)
            module, _, function = task.partition(":")
            return getattr(importlib.import_module(module), function)(cfg)
        except Exception as error:  # here, for hydra prints two lines of its own outside
            _leave(verb, error, lambda: _known_keys(config_name))

    return call


def _settle_run_dir(cfg: DictConfig) -> None:
    """Fixes ``run_dir``: one folder for all ranks of a run, a numbered one for a run of a sweep."""
    if "run_dir" not in cfg or cfg.run_dir is None:
        return
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    run_dir, hydra = str(cfg.run_dir), HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN:
        run_dir = os.path.join(hydra.sweep.dir, hydra.sweep.subdir)
        print(f"{run_dir}: {', '.join(hydra.overrides.task)}", flush=True)
    if "LOCAL_RANK" in os.environ:  # a rank started by the first process, some seconds after it
        run_dir = os.environ.get("ZOO_RUN_DIR", run_dir)
    os.environ["ZOO_RUN_DIR"] = run_dir
    cfg.run_dir = run_dir


@contextmanager
def _hydra_raises() -> Iterator[None]:
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


def _known_keys(config_name: str) -> list[str]:
    """Every dotted key of a config as it is composed without overrides."""
    from omegaconf import DictConfig

    keys: list[str] = []

    def walk(node: Any, prefix: str) -> None:
        for key in node:
            keys.append(f"{prefix}{key}")
            child = node._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
                if not child._is_interpolation():
                    walk(child, f"{prefix}{key}.")

    walk(compose(config_name), "")
    return keys


def _leave(verb: str, error: Exception, known_keys: Callable[[], list[str]]) -> NoReturn:
    line = None if os.environ.get("ZOO_TRACEBACK") == "1" else explain(error, known_keys)
    if line is None:
        raise error
    print(f"zoo {verb}: {line}", file=sys.stderr)
    raise SystemExit(2) from error
