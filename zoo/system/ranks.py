"""Which of how many processes of one training this is, by the environment; without torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import NamedTuple


class Place(NamedTuple):
    """The place of this process among those of one training.

    Attributes:
        starter: "torchrun", "srun", "zoo" where the zoo started it, or None where nobody did.
        rank: its number among all processes.
        local_rank: its number on its machine.
        devices: processes on every machine.
        nodes: machines.
    """

    starter: str | None = None
    rank: int = 0
    local_rank: int = 0
    devices: int = 1
    nodes: int = 1

    @property
    def world(self) -> int:
        """How many processes there are."""
        return self.devices * self.nodes


def place(environment: Mapping[str, str] | None = None) -> Place:
    """The place that torchrun, srun or the zoo itself has given this process.

    Args:
        environment: the variables; this process's when None.

    Raises:
        ValueError: SLURM's tasks are shared unequally, or a job of several runs without ``srun``.
    """
    env = os.environ if environment is None else environment
    if "TORCHELASTIC_RUN_ID" in env:
        return _place("torchrun", env, env["WORLD_SIZE"], env["RANK"], env["LOCAL_WORLD_SIZE"])
    if "ZOO_TRAINING" in env:
        return _place("zoo", env, env["WORLD_SIZE"], env["RANK"], env["LOCAL_WORLD_SIZE"])
    tasks = int(env.get("SLURM_STEP_NUM_TASKS", env.get("SLURM_NTASKS", "1")))
    if tasks == 1 or "SLURM_PROCID" not in env or env.get("SLURM_JOB_NAME") in _INTERACTIVE:
        return Place()
    if env.get("ENVIRONMENT") == "BATCH" and not {"SLURM_STEP_ID", "SLURM_STEPID"} & {*env}:
        raise ValueError(
            f"this SLURM job has {tasks} tasks, but only its script runs: put srun before zoo"
        )
    return _place("srun", env, tasks, env["SLURM_PROCID"], _tasks_per_node(env, tasks))


def is_first() -> bool:
    """Whether this process speaks for all of its training."""
    return place().rank == 0


def speaks() -> bool:
    """Whether a mistake is this process's to say.

    Before they have met, all those of a machine see the same one, and the first of them says it.
    Afterwards whoever fails first says it, and the others end without a word.
    """
    return _met or place().local_rank == 0


def meet() -> None:
    """Notes that the processes of the training have met, for ``speaks``."""
    global _met
    _met = True


def is_queued_again() -> bool:
    """Whether a queue may start this command several times: a job of submitit, or SLURM's again."""
    again = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
    return again or "SUBMITIT_EXECUTOR" in os.environ


@contextmanager
def spare_folder() -> Iterator[str | None]:
    """A folder for what every process would write and only the first should; None in that one."""
    if is_first():
        yield None
        return
    with TemporaryDirectory() as folder:
        yield folder


_met = False
_INTERACTIVE = ("bash", "interactive")  # Lightning's: a shell on a node is no task of a training


def _place(
    starter: str, env: Mapping[str, str], world: int | str, rank: int | str, devices: int | str
) -> Place:
    local = env["SLURM_LOCALID" if starter == "srun" else "LOCAL_RANK"]
    devices = int(devices)
    return Place(starter, int(rank), int(local), devices, int(world) // devices)


def _tasks_per_node(env: Mapping[str, str], tasks: int) -> int:
    """Tasks on every node, from a number, SLURM's ``4(x2)``, or the number of nodes."""
    nodes = int(env.get("SLURM_STEP_NUM_NODES", env.get("SLURM_NNODES", "1")))
    text = env.get("SLURM_STEP_TASKS_PER_NODE", env.get("SLURM_TASKS_PER_NODE", ""))
    counts = {int(count) for count in re.findall(r"(\d+)(?:\(x\d+\))?(?:,|$)", text)}
    if tasks % nodes or len(counts) > 1:
        raise ValueError(
            f"SLURM's {tasks} tasks are shared unequally by {nodes} nodes ({text or 'tasks'}): ask "
            "for as many on each with --ntasks-per-node"
        )
    return tasks // nodes
