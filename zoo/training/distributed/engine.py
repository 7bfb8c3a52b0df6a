"""Lightning's engine for several processes: which one, and who starts them."""

from __future__ import annotations

import os
from typing import Any

from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from omegaconf import DictConfig

from zoo.system import ranks
from zoo.system.ranks import Place


def cluster_environment() -> ClusterEnvironment:
    """Lightning's view of who started this process."""
    place = ranks.place()
    if place.starter == "torchrun":
        return TorchElasticEnvironment()
    if place.starter != "srun":
        return LightningEnvironment()
    # Lightning reads the tasks of a node there alone, and raises where they are given otherwise
    os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(place.devices))
    # it would write a state of its own and queue the job itself: see ``requeue``
    return SLURMEnvironment(auto_requeue=False)


def settle(cfg: DictConfig, place: Place) -> None:
    """Sets devices and nodes of a trainer's config to those that torchrun or srun have started.

    Raises:
        ValueError: it names others.
    """
    if place.starter is None:
        return
    for key, count in (("devices", place.devices), ("num_nodes", place.nodes)):
        value: Any = cfg.trainer.get(key, 1)
        if value not in (1, "auto", -1, count):
            raise ValueError(
                f"trainer.{key}={value}, but {place.starter} has started {place.devices} processes "
                f"on each of {place.nodes} nodes: leave trainer.{key} out"
            )
        cfg.trainer[key] = count
