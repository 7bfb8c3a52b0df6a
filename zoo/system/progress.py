"""Progress with a rate and the time left, for everything that can take over two seconds."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from zoo.system import ranks

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")

# Between lines where there is no terminal to draw a bar on: soon at first, then seldom, in seconds.
_FIRST_LINE, _LINE_EVERY = 1.5, 30.0


def track(
    iterable: Iterable[T], total: int | None = None, description: str = "", unit: str = "it"
) -> Iterator[T]:
    """Yields from ``iterable`` and shows how far it is, on stderr.

    Args:
        iterable: the items.
        total: its length; ``len(iterable)`` where it has one.
        description: the activity.
        unit: of the count, such as "images".

    >>> list(track([1, 2, 3], description="counting"))
    [1, 2, 3]
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Meter(total, description, unit) as meter:
        for item in iterable:
            yield item
            meter.advance()


class Meter:
    """A bar on a terminal; elsewhere lines, soon at first, then seldom; nothing under pytest.

    rich draws the bar. The text is made here: it also serves the lines, which rich has none of.

    Args:
        total: the count at the end, or None where it is not known.
        description: the activity.
        unit: of the count.
        done: the count at the beginning, for something resumed.
    """

    def __init__(
        self, total: int | None, description: str = "", unit: str = "it", done: int = 0
    ) -> None:
        self.total, self.description, self.unit, self.done = total, description, unit, done
        self.note = ""
        self._first, self._started = done, time.monotonic()
        self._next_line = self._started + _FIRST_LINE
        self._task: TaskID | None = None

    def __enter__(self) -> Meter:
        if sys.stderr.isatty() and not _quiet():
            state = self.text()
            self._task = _display().add_task(
                self.description, total=self.total, completed=self.done, state=state
            )
            _display().start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is None:
            return
        self._refresh(self._task)
        if len(_display().tasks) > 1:
            _display().remove_task(self._task)
        else:  # the outermost bar stays on the screen, and the next begins a display of its own
            _display().stop()
            _display.cache_clear()
        self._task = None

    def advance(self, count: int = 1) -> None:
        """``count`` more are done."""
        self.done += count
        if self._task is not None:
            self._refresh(self._task)
        elif time.monotonic() >= self._next_line and not _quiet():
            now = time.monotonic()
            self._next_line = now + min(_LINE_EVERY, max(_FIRST_LINE, (now - self._started) / 2))
            print(f"{self.description}: {self.text()}", file=sys.stderr, flush=True)

    @property
    def rate(self) -> float:
        """Counts per second since the beginning."""
        return (self.done - self._first) / max(time.monotonic() - self._started, 1e-9)

    def text(self) -> str:
        """The state in words: count, rate, time left, note."""
        parts = [f"{self.done}/{self.total}" if self.total is not None else f"{self.done}"]
        parts.append(_rate(self.rate, self.unit))
        if self.total is not None and self.rate > 0:
            parts.append(f"{duration((self.total - self.done) / self.rate)} left")
        return ", ".join([*parts, self.note] if self.note else parts)

    def _refresh(self, task: TaskID) -> None:
        _display().update(task, completed=self.done, state=self.text())


@contextmanager
def busy(activity: str, every: float = 1.0) -> Iterator[None]:
    """Says on stderr that something without a count goes on: the activity, then a dot a second.

    Nothing is written where it takes less than a second, under pytest, and in all processes of a
    training but one.

    Args:
        activity: in words.
        every: seconds between two dots.
    """
    over = threading.Event()

    def dots() -> None:
        text = f"{activity} ."
        while not over.wait(every):
            print(text, end="", file=sys.stderr, flush=True)
            text = "."
        if text == ".":
            print(file=sys.stderr, flush=True)

    if _quiet():
        yield
        return
    thread = threading.Thread(target=dots, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def duration(seconds: float) -> str:
    """Seconds as minutes and seconds, with hours where there are any.

    >>> duration(75), duration(3725)
    ('1:15', '1:02:05')
    """
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _rate(rate: float, unit: str) -> str:
    return f"{rate:.1f} {unit}/s" if rate >= 1 or rate == 0 else f"{1 / rate:.1f} s/{unit}"


def _quiet() -> bool:
    return "PYTEST_CURRENT_TEST" in os.environ or not ranks.is_first()


@functools.cache
def _display() -> Progress:
    """The one live display of a terminal: a bar within a bar is a second line of it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),  # names are no markup of rich
        BarColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        console=Console(stderr=True),
    )
