import multiprocessing
import os
import re
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

# of a closed connection; where the zoo starts them, TORCH_CPP_LOG_LEVEL is quieter
_TORCH = r"\[rank|\[W|Exception raised|frame #|<omitting"


class Ended(NamedTuple):
    """How the processes of one training ended: codes by rank, and all that they said."""

    codes: list[int | None]
    out: str
    err: list[str]
    seconds: float


@pytest.fixture
def ranks(tmp_path: Path) -> Callable[..., Ended]:
    """Runs a training in forks of this process, which has torch already, as their launcher would.

    ``ranks(cfg)`` with the variables of torchrun, ``ranks(cfg, "srun")`` with those of srun.
    """
    from zoo.training.distributed import __main__ as child

    def run(cfg: Any, starter: str = "torchrun", world: int = 2) -> Ended:
        files = [(tmp_path / f"{r}.out", tmp_path / f"{r}.err") for r in range(world)]
        port = free_port()

        def work(rank: int) -> None:
            for number, file in zip((1, 2), files[rank], strict=True):
                os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
            os.environ.pop("PYTEST_CURRENT_TEST", None)
            os.environ |= variables(starter, rank, world, port)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            warnings.simplefilter("error")
            child.run(cfg)

        fork = multiprocessing.get_context("fork")
        started = time.monotonic()
        with warnings.catch_warnings(action="ignore"):  # Python warns of forks
            processes = [fork.Process(target=work, args=(rank,)) for rank in range(world)]
            for process in processes:
                process.start()
        for process in processes:
            process.join(100)
            process.kill()
        lines = [line for _, err in files for line in err.read_text().splitlines() if line.strip()]
        return Ended(
            [process.exitcode for process in processes],
            "".join(out.read_text() for out, _ in files),
            [line for line in lines if not re.match(_TORCH, line)],
            time.monotonic() - started,
        )

    return run


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def variables(starter: str, rank: int, world: int, port: int) -> dict[str, str]:
    """What a launcher tells a process on the only machine."""
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if starter == "srun":
        return {
            **common, "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "zoo", "SLURM_NNODES": "1",
            "SLURM_NTASKS": str(world), "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank),
            "SLURM_NODEID": "0",
        }  # fmt: skip
    return {
        **common, "TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": str(world), "RANK": str(rank),
        "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(world), "GROUP_RANK": "0",
    }  # fmt: skip
