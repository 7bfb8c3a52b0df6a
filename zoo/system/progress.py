"""Progress with a rate and the time left, for everything that can take over two seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

_LINE_EVERY = 30.0  # seconds between lines where there is no terminal to draw a bar on


def track(
    iterable: Iterable[T], total: int | None = None, description: str = "", unit: str = "it"
) -> Iterator[T]:
    """Yields from ``iterable`` and shows how far it is, on stderr.

    Args:
        iterable: what to go through.
        total: its length; ``len(iterable)`` where it has one.
        description: what is being done.
        unit: what is counted, such as "images".

    >>> list(track([1, 2, 3], description="counting"))
    [1, 2, 3]
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Meter(total, description, unit) as meter:
        for item in iterable:
            yield item
            meter.advance()


class Watched:
    """A sampler whose steps advance a meter; in all else the sampler itself."""

    def __init__(self, sampler: Any, meter: Meter) -> None:
        self._sampler, self._meter = sampler, meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    def steps(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """The sampler's own steps, counted."""
        for x in self._sampler.steps(*args, **kwargs):
            self._meter.advance()
            yield x


@contextmanager
def sampling(module: Any, num_images: int, batch_size: int, sampler: Any = None) -> Iterator[Any]:
    """Within, a sampler for ``module.generate`` that shows its steps over all batches.

    Args:
        module: a ``DiffusionModule``.
        num_images: as for ``generate``.
        batch_size: as for ``generate``.
        sampler: the one to watch; the module's own when None.
    """
    sampler = sampler if sampler is not None else module.sampler
    steps = len(sampler.levels(module.diffusion.schedule)) - 1
    total = -(-num_images // batch_size) * steps
    with Meter(total, f"sampling {num_images} images", "steps") as meter:
        yield Watched(sampler, meter)


class Meter:
    """A bar on a terminal; elsewhere a line every half minute; nothing under pytest.

    Args:
        total: the count at the end, or None where it is not known.
        description: what is being done.
        unit: what is counted.
        done: the count at the beginning, for something resumed.
    """

    def __init__(
        self, total: int | None, description: str = "", unit: str = "it", done: int = 0
    ) -> None:
        self.total, self.description, self.unit, self.done = total, description, unit, done
        self.note = ""
        self._first, self._started = done, time.monotonic()
        self._next_line = self._started + _LINE_EVERY
        self._bar: Any = None

    def __enter__(self) -> Meter:
        if sys.stderr.isatty() and not _quiet():
            self._bar = _Bars.join()
            self._task = self._bar.add_task(self.description, total=self.total, state="")
            self._refresh()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._refresh()
            _Bars.leave(self._task)
            self._bar = None

    def advance(self, count: int = 1) -> None:
        """``count`` more are done."""
        self.done += count
        if self._bar is not None:
            self._refresh()
        elif time.monotonic() >= self._next_line and not _quiet():
            self._next_line = time.monotonic() + _LINE_EVERY
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
            parts.append(f"{clock((self.total - self.done) / self.rate)} left")
        return ", ".join([*parts, self.note] if self.note else parts)

    def _refresh(self) -> None:
        self._bar.update(self._task, completed=self.done, state=self.text())


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, with hours where there are any.

    >>> clock(75), clock(3725)
    ('1:15', '1:02:05')
    """
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _rate(rate: float, unit: str) -> str:
    return f"{rate:.1f} {unit}/s" if rate >= 1 or rate == 0 else f"{1 / rate:.1f} s/{unit}"


def _quiet() -> bool:
    return "PYTEST_CURRENT_TEST" in os.environ


class _Bars:
    """The one live display of a terminal: a bar within a bar is a second line of it."""

    display: Any = None
    users = 0

    @classmethod
    def join(cls) -> Any:
        if cls.display is None:
            cls.display = _display()
            cls.display.start()
        cls.users += 1
        return cls.display

    @classmethod
    def leave(cls, task: Any) -> None:
        cls.users -= 1
        if cls.users:
            cls.display.remove_task(task)
        else:
            cls.display.stop()
            cls.display = None


def _display() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True),
    )
