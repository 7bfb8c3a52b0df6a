"""A job of SLURM that is about to end puts itself into the queue again.

Lightning's own requeueing writes a state of another name, which is read instead of the one that
``ckpt_path`` names. Here the state is the training's: it is written first, then the job queued.
submitit's jobs are queued by submitit, in the same way: its handlers are there before ours.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from zoo.system import ranks

_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
_SCONTROL = 30.0  # seconds


@contextmanager
def queued_again() -> Iterator[None]:
    """Within, SIGUSR1 and SIGUSR2 queue this SLURM job again and end the process.

    They are what ``sbatch --signal=USR1@180`` sends before the job's time is over. While a training
    steps it takes them itself, and calls these handlers when its state is written.
    """
    job = job_id()
    main = threading.current_thread() is threading.main_thread()
    free = [n for n in _SIGNALS if main and signal.getsignal(n) == signal.SIG_DFL]
    if job is None or not free:
        yield
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        _requeue(job)
        raise SystemExit(128 + signum)

    for number in free:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


def job_id() -> str | None:
    """SLURM's name of this job, or None: there is none."""
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def _requeue(job: str) -> None:
    if not ranks.is_first():
        time.sleep(_SCONTROL)  # SLURM ends this process; srun would end all where one ends earlier
        return
    command = ["scontrol", "requeue", job]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SCONTROL)
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().partition("\n")[0]
        print(f"SLURM's job {job} could not be queued again: {reason}", file=sys.stderr)
        return
    print(f"SLURM's job {job} is queued again: ckpt_path=auto resumes", file=sys.stderr, flush=True)
