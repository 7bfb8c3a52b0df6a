"""Runs a command line in a child of this process, which has imported everything already."""

from __future__ import annotations

import functools
import io
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import _command_meaning as meaning
import yaml
from _command_grammar import Line

ROOT = Path(__file__).parents[1]
LIMIT_S = 60.0  # of a line, on a machine that has other things to do
_MEMORY = 12 * 2**30
_LONGEST_FILE = 200 * 2**20


@dataclass
class Outcome:
    """What a command line did."""

    line: Line
    kind: str  # of KINDS
    code: int
    stdout: str
    stderr: str
    seconds: float
    reason: str = ""
    """Why a success is one of another meaning."""
    files: list[str] = field(default_factory=list)
    """What it wrote, relative to its folder."""


KINDS = (
    "ran",
    "refused in one line",
    "traceback",
    "more than one line",
    "timeout",
    "wrong meaning",
)


@dataclass
class Child:
    """A command line that is running."""

    line: Line
    folder: Path
    process: int
    started: float
    before: set[str]

    def outcome(self) -> Outcome | None:
        """What it did, None while it runs."""
        process, status = os.waitpid(self.process, os.WNOHANG)
        seconds = time.monotonic() - self.started
        late = process == 0 and seconds > LIMIT_S
        if process == 0 and not late:
            return None
        if late:
            os.killpg(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
            status = 0
        streams = [(self.folder.parent / f"{self.folder.name}.{s}") for s in ("out", "err")]
        stdout, stderr = (s.read_text(encoding="utf-8", errors="replace") for s in streams)
        files = sorted(_files(self.folder) - self.before)
        code = os.waitstatus_to_exitcode(status)
        outcome = Outcome(self.line, "timeout", code, stdout, stderr, seconds, "", files)
        if not late:
            outcome.kind = _kind(outcome, self.folder)
        return outcome


def start(line: Line, folder: Path) -> Child:
    """Starts a command line in a folder, which holds the files that it names."""
    before = _files(folder)
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # later Pythons warn where there are threads, which rest
        process = os.fork()
    if process == 0:
        os._exit(_child(line, folder))
    return Child(line, folder, process, time.monotonic(), before)


def no_network() -> None:
    """Refuses every address but this machine's, as in the tests."""
    spec = spec_from_file_location("offline", ROOT / "tests" / "offline" / "sitecustomize.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.block()


def _files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


def _child(line: Line, folder: Path) -> int:
    os.setpgid(0, 0)
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LONGEST_FILE, _LONGEST_FILE))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.environ["ZOO_CACHE"] = str(folder.parent / f"{folder.name}.cache")
    home = folder.parent / f"{folder.name}.home"
    home.mkdir()
    os.environ["HOME"] = str(home)
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    os.environ.update(line.environment)
    _pythons_own_warnings()
    _redirect(line.streams, folder)
    code = _run(line, folder.parent / f"{folder.name}.configs")
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            code = code or 120  # as Python's own end does
    return code


def _pythons_own_warnings() -> None:
    warnings.resetwarnings()
    hidden = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
    for category in hidden:
        warnings.simplefilter("ignore", category)


def _redirect(streams: str, folder: Path) -> None:
    for number, name in ((1, "out"), (2, "err")):
        target = os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(target, number)
    if streams == "full stdout":
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    elif streams == "broken stdout":
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
    encoding = streams if streams in ("ascii", "latin-1") else "utf-8"
    for number, name in ((1, "stdout"), (2, "stderr")):
        errors = "backslashreplace" if name == "stderr" else "strict"
        file = io.TextIOWrapper(
            os.fdopen(number, "wb"), encoding, errors, line_buffering=number == 2
        )
        setattr(sys, name, file)
        if streams == f"closed {name}":
            setattr(sys, name, None)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)


def _run(line: Line, record: Path) -> int:
    """The console script, with the configs that the task was called with on record."""
    from zoo import cli
    from zoo.command import run

    checked = run.check
    seen: list[Any] = []

    @functools.wraps(checked)
    def check(config: Any, needs: Any = None) -> None:
        checked(config, needs)
        from omegaconf import OmegaConf

        seen.append(OmegaConf.to_container(config, resolve=True))
        record.write_text(yaml.safe_dump(seen, allow_unicode=True))

    run.check = check
    sys.argv = ["zoo", line.verb, *line.arguments]
    try:
        cli.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _kind(outcome: Outcome, folder: Path) -> str:
    said = outcome.stderr
    if "Traceback (most recent call last)" in said or outcome.code < 0:
        return "traceback"
    if outcome.code == 0 or (outcome.code == 1 and not said):
        record = folder.parent / f"{folder.name}.configs"
        configs = yaml.safe_load(record.read_text()) if record.exists() else []
        outcome.reason = meaning.reason(
            outcome.line, configs, outcome.stdout, outcome.files, folder
        )
        return "wrong meaning" if outcome.reason else "ran"
    words = [
        text
        for text in said.splitlines()
        if not text.startswith(f"zoo {outcome.line.verb}: loading")
    ]
    if outcome.code == 120 or outcome.line.streams.startswith(("full", "broken", "closed")):
        return "more than one line" if len(words) > 1 else "refused in one line"
    if len(words) != 1 or not words[0].partition(": ")[2].strip():
        return "more than one line"
    if len(words[0]) > 4000:
        outcome.reason = "an endless line"
        return "more than one line"
    left = [file for file in outcome.files if "__pycache__" not in file]
    if left and "the loss is" not in said:  # a training may fail on its way
        outcome.reason = f"refused, yet wrote {', '.join(left[:5])}"
        return "wrong meaning"
    if outcome.line.meant:
        outcome.reason = "refused, though it is right"
        return "wrong meaning"
    return "refused in one line"
