"""Runs a verb under hydra: compose the config, call its task, put errors into one line.

Nothing heavy is imported until it is needed: ``--help`` reads the config files as text, hydra
comes in when a config is composed, torch when the task is called.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from zoo import paths
from zoo.command.arguments import prepared
from zoo.command.chosen_keys import chosen_keys
from zoo.command.compose import (
    VERSION_BASE,
    check,
    check_added,
    check_removed,
    compose,
    hydra_raises,
    known_keys,
    register_resolvers,
    settle_model,
)
from zoo.command.help import groups, text
from zoo.command.overrides import (
    check_queue,
    make_current_folder_importable,
    split_config_folders,
)
from zoo.performance.allocator import keep_freed_memory
from zoo.system import ranks
from zoo.system.errors import explain, leave, out_of_memory, unknown_key
from zoo.system.progress import busy

if TYPE_CHECKING:
    from omegaconf import DictConfig

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

_CHECKED_RUNS = 64  # of a sweep, before the first begins: a tenth of a second each


class Verb(NamedTuple):
    """A verb: its name, its config's name, its task, keys of which it needs one, its check.

    Task and check are ``module:function``.
    """

    name: str
    config: str
    task: str
    needs: Sequence[str]
    check: str | None = None


def run(
    verb: str,
    config_name: str,
    task: str,
    argv: Sequence[str] | None = None,
    needs: Sequence[str] = (),
    check: str | None = None,
) -> None:
    """Composes ``config_name`` with the overrides in ``argv`` and calls ``task`` with it.

    Hydra's own flags work: ``-m``, ``--cfg job --resolve``, ``--config-dir``, ``--config-name``.
    A user's mistake ends the process with exit code 2 and one line on stderr; with
    ``ZOO_TRACEBACK=1`` the traceback comes instead.

    Args:
        verb: the verb's name, for messages.
        config_name: the primary config's file name without ``.yaml``.
        task: ``"module:function"``; imported only once the config is composed.
        argv: the arguments after the verb; ``sys.argv[1:]`` when None.
        needs: keys of which the verb needs exactly one.
        check: ``"module:function"`` without heavy imports, called with the resolved config before
            the task is imported; it raises ValueError where the task would fail.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    make_current_folder_importable()
    if "-h" in arguments or "--help" in arguments:
        _help(verb, config_name, arguments)
        return
    try:
        _run_hydra(Verb(verb, config_name, task, needs, check), arguments)
    except KeyboardInterrupt:
        print(f"zoo {verb}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        _leave(verb, error, lambda: known_keys(config_name, arguments))


def _help(verb: str, config_name: str, arguments: Sequence[str]) -> None:
    folders, rest = split_config_folders(arguments)
    overrides = [argument for argument in rest if not argument.startswith("-")]
    try:
        defaults = groups(paths.configs() / f"{config_name}.yaml")
        keys = chosen_keys(config_name, prepared(verb, overrides, defaults), folders)
    except Exception as error:
        _leave(verb, error, lambda: known_keys(config_name, overrides))
    print(text(verb, config_name, folders, keys))


def _run_hydra(verb: Verb, arguments: list[str]) -> None:
    from hydra import version
    from hydra._internal.utils import _run_hydra as run_hydra
    from hydra._internal.utils import get_args_parser

    register_resolvers()
    version.setbase(VERSION_BASE)
    parser = get_args_parser()
    parser.error = functools.partial(_refuse, verb.name)  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(arguments)  # flags may follow overrides
    if args.package and args.package not in (keys := known_keys(verb.config, args.overrides)):
        raise ValueError(unknown_key(args.package, keys))
    defaults = groups(paths.configs() / f"{verb.config}.yaml")
    overrides = prepared(verb.name, args.overrides, defaults, args.multirun)
    args.overrides = [re.sub(r"^(hydra/launcher='?)submitit_", r"\1", o) for o in overrides]
    values = {key.lstrip("+~"): text for key, _, text in (o.partition("=") for o in args.overrides)}
    settings = {**_SETTINGS, "hydra.job.name": verb.name}
    if "run_dir" in values:  # as text: hydra makes the sweep's folder before it composes a run
        settings["hydra.sweep.dir"] = values["run_dir"]
    args.overrides = [f"{k}={v}" for k, v in settings.items() if k not in values] + args.overrides
    queue = values.get("hydra/launcher", "").strip("'")
    if args.multirun:
        needs = None if queue == "slurm" else verb.needs  # its machines have other devices
        _check_each(verb, needs, args.overrides, [args.config_dir] if args.config_dir else [])
    check_queue(queue, args.multirun or args.cfg)
    with ranks.spare_folder() as spare, hydra_raises():
        if args.multirun and spare is not None:
            args.overrides = [*args.overrides, f"hydra.sweep.dir={spare}"]
        run_hydra(
            args=args,
            args_parser=parser,
            task_function=_task_function(verb),
            config_path=str(paths.configs()),
            config_name=verb.config,
        )


def _refuse(verb: str, message: str) -> NoReturn:
    raise ValueError(f"{message}; `zoo {verb} --help` shows what there is")


def _check_each(
    verb: Verb, needs: Sequence[str] | None, overrides: Sequence[str], folders: Sequence[str]
) -> None:
    """Composes, and so checks, the runs of a sweep before the first one begins."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    own = [o for o in parsed if not o.key_or_group.startswith(("hydra.", "hydra/"))]
    search = [text for text in overrides if "hydra.searchpath" in text]
    (runs,) = BasicSweeper.split_arguments(own, max_batch_size=None)
    for run_overrides in runs[:_CHECKED_RUNS]:
        check(compose(verb.config, [*run_overrides, *search], folders), needs)


def _task_function(verb: Verb) -> Callable[[DictConfig], Any]:
    """The task as hydra wants it; its module is imported when it is called."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    def call(cfg: DictConfig) -> Any:
        register_resolvers()  # a queue's job begins here
        make_current_folder_importable()
        try:
            settle_model(cfg, HydraConfig.get().runtime.choices)
            check_removed(cfg, HydraConfig.get().overrides.task)
            if ranks.is_queued_again() and cfg.get("ckpt_path", "") is None:
                cfg.ckpt_path = "auto"
            check(cfg, verb.needs)
            check_added(cfg, verb.config, HydraConfig.get().overrides.task)
            _settle_run_dir(cfg)
            if verb.check is not None:
                _load(verb.check)(OmegaConf.to_container(cfg, resolve=True))
            if ranks.place().world > 1:  # torch prints the stack of each closed connection
                os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
            with busy(f"zoo {verb.name}: loading torch and lightning"):
                task = _load(verb.task)
            keep_freed_memory()
            return task(cfg)
        except Exception as error:  # here, for hydra prints two lines of its own outside
            _leave(verb.name, error, list, cfg)

    return call


def _load(address: str) -> Callable[..., Any]:
    module, _, function = address.partition(":")
    called: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return called


def _settle_run_dir(cfg: DictConfig) -> None:
    """Fixes ``run_dir``: the folder given, or a numbered one for a run of a sweep."""
    if "run_dir" not in cfg or cfg.run_dir is None:
        return
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    run_dir, hydra = str(cfg.run_dir), HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN:
        run_dir = os.path.join(hydra.sweep.dir, hydra.sweep.subdir)
        if ranks.is_first():
            print(f"{run_dir}: {', '.join(hydra.overrides.task)}", flush=True)
    cfg.run_dir = run_dir


def _leave(
    verb: str, error: Exception, known_keys: Callable[[], list[str]], cfg: DictConfig | None = None
) -> NoReturn:
    if os.environ.get("ZOO_TRACEBACK") == "1":
        raise error
    line = None if cfg is None else out_of_memory(error, functools.partial(_setting, cfg))
    line = line or explain(error, known_keys)
    if line is None:
        raise error
    leave(f"zoo {verb}", line, getattr(error, "exit_code", 2))


def _setting(cfg: DictConfig, key: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.select(cfg, key)
