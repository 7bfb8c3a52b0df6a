"""All processes of one training: one config, one decision, one voice."""

from __future__ import annotations

import itertools
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist
from lightning import Trainer
from omegaconf import DictConfig, OmegaConf
from torch.distributed import TCPStore

from zoo.system import ranks
from zoo.system.device import accelerator
from zoo.training.distributed.children import Children, started
from zoo.training.distributed.engine import cluster_environment, settle
from zoo.training.distributed.failure import EndedElsewhere, Failure

T = TypeVar("T")

_EVERY = 0.2  # seconds between two looks at the store, while another process has its turn
_trainings = itertools.count()


class _Group:
    """The store of the training that runs, for what is decided outside of collective calls."""

    store: TCPStore | None = None
    failure: Failure | None = None
    prefix = ""
    turns = 0


@contextmanager
def processes(cfg: DictConfig) -> Iterator[DictConfig]:
    """Within, this process is a rank of the training, with the config that rank 0 has.

    It joins those that torchrun or srun have started; where nobody has, it starts the others of
    this machine. One that fails ends all, and says why in one line.

    Args:
        cfg: of the training. Its ``trainer`` gets as many devices and nodes as there are.

    Raises:
        ValueError: ``trainer.devices`` and ``trainer.num_nodes`` name other processes.
    """
    place = ranks.place()
    settle(cfg, place)
    strategy = None if place.world == 1 and _is_alone(cfg) else _engine(cfg)
    if strategy is None or strategy.num_processes * strategy.num_nodes == 1:
        yield cfg
        return
    with ExitStack() as stack:
        children = Children([], 0)
        if place.starter is None:
            plain: Any = OmegaConf.to_container(cfg, resolve=True)
            children = stack.enter_context(
                started(plain, strategy.num_processes, strategy.num_nodes)
            )
            stack.callback(_leave)
        strategy.setup_environment()
        ranks.meet()
        if dist.get_rank() != 0:
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
            stack.enter_context(warnings.catch_warnings(action="ignore"))
        _Group.prefix, _Group.turns = first(lambda: f"zoo/{next(_trainings)}"), 0
        _Group.store = _connection()
        _Group.failure = Failure(
            _connection(),
            f"{_Group.prefix}/failure",
            dist.get_rank(),
            dist.get_world_size(),
            children.death,
        )
        stack.callback(_Group.failure.close)
        try:
            yield first(lambda: _resolved(cfg))
            dist.barrier()
        except BaseException as error:
            said = _Group.failure.explained(error)
            raise said from (None if said is not error else error.__cause__)


def first(make: Callable[[], T]) -> T:
    """What rank 0 makes, in every process; its error ends them all.

    Raises:
        EndedElsewhere: it could not be made, in the other processes.
    """
    if not dist.is_initialized():
        return make()
    said: list[Any] = [None, None]
    error = None
    if dist.get_rank() == 0:
        try:
            said = [make(), None]
        except Exception as raised:
            said, error = [None, True], raised
    dist.broadcast_object_list(said)
    if error is not None:
        raise error
    if said[1]:
        raise EndedElsewhere(1)
    return said[0]


@contextmanager
def in_turn() -> Iterator[None]:
    """Within, one process of every machine is alone, then come the others: for files in a cache.

    Raises:
        EndedElsewhere: the first one failed.
    """
    if not dist.is_initialized() or _Group.store is None:
        yield
        return
    place = ranks.place()
    _Group.turns += 1
    node = place.rank // place.devices
    key = f"{_Group.prefix}/turn/{_Group.turns}/{node}"
    if place.local_rank > 0:
        _wait(_Group.store, key)
        yield
    else:
        yield
        _Group.store.set(key, "")


def _wait(store: TCPStore, key: str) -> None:
    """Waits as long as it takes: a collective call would give up after half an hour."""
    while not store.check([key]):
        if _Group.failure is not None and (code := _Group.failure.code()) is not None:
            raise EndedElsewhere(code)
        time.sleep(_EVERY)


def _resolved(cfg: DictConfig) -> DictConfig:
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    return DictConfig(values)


def _is_alone(cfg: DictConfig) -> bool:
    trainer = cfg.trainer
    return bool(trainer.get("devices", 1) in (1, "1") and trainer.get("num_nodes", 1) == 1)


def _engine(cfg: DictConfig) -> Any:
    """Lightning's strategy for these keys, as the training's own trainer will have it."""
    trainer = Trainer(
        accelerator=accelerator(cfg.trainer.accelerator),
        devices=cfg.trainer.devices,
        num_nodes=cfg.trainer.num_nodes,
        strategy=cfg.trainer.strategy,
        plugins=[cluster_environment()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    strategy: Any = trainer.strategy
    return strategy if hasattr(strategy, "num_processes") else None


def _connection() -> TCPStore:
    """A connection to the store of the processes, which rank 0 or torchrun's agent holds."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(host, port, is_master=False, timeout=timedelta(minutes=5))


def _leave() -> None:
    """Leaves the group, so that the next training of this process has one of its own."""
    sys.stdout.flush()
    _Group.store = _Group.failure = None
    if dist.is_initialized():
        dist.destroy_process_group()
