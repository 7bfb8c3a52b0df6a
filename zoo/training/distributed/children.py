"""The other processes of this machine, where nobody but the user has started one.

Lightning's own launcher repeats the command line in every process: a sweep would begin in each, a
comparison too, each composing a config of its own, some seconds later. Here they get the config of
this training, and the first of them that ends badly ends all.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.fabric.plugins.environments.lightning import find_free_network_port

_LAST_WORDS = 10.0  # seconds that the others have to end by themselves
_OURS = ("ZOO_TRAINING", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "RANK", "LOCAL_RANK",
         "WORLD_SIZE", "LOCAL_WORLD_SIZE")  # fmt: skip


class Children:
    """Processes 1 to ``devices - 1`` of this machine; see ``started``."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], first: int) -> None:
        self._processes = processes
        self._first = first  # rank

    def death(self) -> tuple[int, int] | None:
        """Rank and exit code of one that has ended badly, negative for a signal."""
        for rank, process in enumerate(self._processes, self._first):
            if process.poll():
                return rank, process.returncode
        return None

    def send(self, signum: int) -> None:
        """Sends a signal to those that run."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signum)

    def end(self, at_once: bool) -> None:
        """Waits for all of them, and kills those that stay."""
        deadline = time.monotonic() + _LAST_WORDS if at_once else None
        for process in self._processes:
            try:
                process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def started(config: dict[str, Any], devices: int, nodes: int) -> Iterator[Children]:
    """Within, the other processes of this machine run, and this one's variables are a rank's.

    With several machines, each of them is given MASTER_ADDR, MASTER_PORT and NODE_RANK by hand.

    Args:
        config: of the training, in plain values; every process reads it.
        devices: processes on every machine.
        nodes: machines.

    Raises:
        ValueError: there are several machines, but nothing says which this one is.
    """
    if nodes > 1 and not {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= {*os.environ}:
        raise ValueError(
            f"trainer.num_nodes={nodes}: start the processes with srun or torchrun, or set "
            "MASTER_ADDR, MASTER_PORT and NODE_RANK on every machine"
        )
    before = {name: os.environ.get(name) for name in _OURS}
    node = int(os.environ.get("NODE_RANK", 0))
    os.environ |= {
        "ZOO_TRAINING": json.dumps(config),
        "MASTER_ADDR": os.environ.get("MASTER_ADDR", "127.0.0.1"),
        "MASTER_PORT": os.environ.get("MASTER_PORT", str(find_free_network_port())),
        "NODE_RANK": str(node),
        "WORLD_SIZE": str(devices * nodes),
        "LOCAL_WORLD_SIZE": str(devices),
    }
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # stacks of connections that were closed
    command = [sys.executable, "-P", "-m", "zoo.training.distributed"]
    children = Children([], node * devices + 1)
    try:
        for local_rank in range(1, devices):
            own = {"LOCAL_RANK": str(local_rank), "RANK": str(node * devices + local_rank)}
            path = {"PYTHONPATH": os.pathsep.join(sys.path)}
            children._processes.append(subprocess.Popen(command, env=os.environ | own | path))
        os.environ |= {"LOCAL_RANK": "0", "RANK": str(node * devices)}
        yield children
    except BaseException:
        children.end(at_once=True)
        raise
    else:
        children.end(at_once=False)
    finally:
        children.send(signal.SIGKILL)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
