"""One process of a training fails: it says so in one line, and all the others end."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from torch.distributed import TCPStore

from zoo.system.errors import explain

_EVERY = 0.5  # seconds between two looks at the store
_LAST_WORDS = 10.0  # seconds that a process has to end by itself, once another has failed
_CONNECTION = ("Connection", "connection", "closed by peer", "gloo", "NCCL", "Socket", "socket")


class EndedElsewhere(SystemExit):
    """This process ends because another one has failed, which has said why."""


class Failure:
    """What the processes of one training know of the first that failed.

    A collective call waits for its peers, for half an hour with NCCL, whether they live or not. So
    a thread looks whether one has failed, and ends a process that does not end by itself.

    Args:
        store: a connection of its own: others block while they wait.
        key: of the failure in it.
        rank: of this process.
        world: how many there are.
        death: gives the rank and the exit code of a child that has ended badly, if there is one.
    """

    def __init__(
        self,
        store: TCPStore,
        key: str,
        rank: int,
        world: int,
        death: Callable[[], tuple[int, int] | None] = lambda: None,
    ) -> None:
        self._store, self._key, self._rank, self._world = store, key, rank, world
        self._death = death
        self._code: int | None = None  # once this process has seen the failure
        self._claims = itertools.count()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="zoo-failure")
        self._thread.start()

    def claim(self, code: int = 1) -> bool:
        """Whether this process is the first that fails, and so the one to say it."""
        if self._code is not None:
            return False
        claim = f"{self._rank}.{next(self._claims)} {code}"  # a process has two threads
        try:
            return self._store.compare_set(self._key, "", claim).decode() == claim
        except RuntimeError:  # rank 0, which held the store, has ended: the next one speaks
            return self._rank == 1

    def code(self) -> int | None:
        """The exit code that the first failure asks for, or None: nobody failed."""
        if self._code is None:
            try:
                if self._store.check([self._key]):
                    self._code = int(self._store.get(self._key).decode().split()[1])
                    self._say_seen()
            except RuntimeError:
                return 1
        return self._code

    def explained(self, error: BaseException) -> BaseException:
        """An error as this process should raise it: quietly, where another one has failed first."""
        lost = isinstance(error, RuntimeError) and any(w in str(error) for w in _CONNECTION)
        if lost:  # whoever closed the connection may be about to say why
            deadline = time.monotonic() + _LAST_WORDS / 2
            while self.code() is None and time.monotonic() < deadline:
                time.sleep(_EVERY / 5)
        if isinstance(error, EndedElsewhere) or (isinstance(error, SystemExit) and not error.code):
            self._say_seen()
            return error
        if not self.claim(_exit_code(error)):
            return EndedElsewhere(self.code() or 1)
        self._wait_until_seen()
        if lost and not isinstance(error, SystemExit):
            first = str(error).strip().partition("\n")[0]
            return ValueError(f"another process of this training has ended without a word: {first}")
        return error

    def _say_seen(self) -> None:
        with suppress(RuntimeError):  # nobody holds the store any more
            self._store.set(f"{self._key}/seen/{self._rank}", "")

    def _wait_until_seen(self) -> None:
        """Stays until the others know, for the store may end with this process."""
        keys = [f"{self._key}/seen/{rank}" for rank in range(self._world) if rank != self._rank]
        deadline = time.monotonic() + _LAST_WORDS / 4
        with suppress(RuntimeError):
            while not self._store.check(keys) and time.monotonic() < deadline:
                time.sleep(_EVERY / 5)

    def close(self) -> None:
        """Ends the thread."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            if (death := self._death()) is not None and self.code() is None:
                self._say(death)
            if (code := self.code()) is None:
                continue
            if not self._over.wait(_LAST_WORDS):
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            return

    def _say(self, death: tuple[int, int]) -> None:
        rank, code = death
        if self.claim(1):
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
            reason = "; perhaps for want of memory" if code == -signal.SIGKILL else ""
            line = f"zoo train: process {rank} of this training was ended {how}{reason}"
            print(line, file=sys.stderr, flush=True)


def _exit_code(error: BaseException) -> int:
    """The code that a process ends with for this error: 2 for a mistake of a user."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    known = isinstance(error, Exception) and explain(error, list) is not None
    return int(getattr(error, "exit_code", 2)) if known else 1
