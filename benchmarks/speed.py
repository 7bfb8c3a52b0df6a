"""Speed beside the peers', from a training step to a whole evaluation, in one run.

    python benchmarks/speed.py [--threads 2] [--rounds 7] [case ...]

Every case has two processes, ours and the peer's, which take turns; the figure is the median of the
paired ratios. A busy neighbour distorts parallel code by far more than its share: a round in which
other processes used more than 4 % of the machine is made again, a few times, then counted as noisy.
Writes benchmarks/speed.csv and speed.png, and the README's table of ratios.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from _speed_cases import CASES, Case
from _table import write

from eval.report.readme import with_results

HERE = Path(__file__).parent
FOREIGN = 0.04
_ATTEMPTS = 4  # for each round that is wanted


class Worker:
    """A process that times one side of a case, on request."""

    def __init__(self, case: str, side: str, threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "_speed_cases.py"), case, side, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        self.name = f"{case}, {side}"

    def seconds(self) -> tuple[float, float]:
        """The duration of one run, and its CPU time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        if not (answer := self._process.stdout.readline()):
            self._errors.seek(0)
            raise RuntimeError(f"the process of {self.name} has ended:\n{self._errors.read()}")
        duration, cpu = answer.split()
        return float(duration), float(cpu)

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def workers(case: str, threads: int) -> Iterator[tuple[Worker, Worker]]:
    """Both sides of a case, warm."""
    pair = Worker(case, "ours", threads), Worker(case, "theirs", threads)
    try:
        for worker in pair:
            worker.seconds()
        yield pair
    finally:
        for worker in pair:
            worker.close()


def busy_seconds() -> float:
    """CPU seconds that all processes of the machine have used; 0 where nothing says so."""
    try:
        fields = Path("/proc/stat").read_text().split()[1:9]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, soft, _ = map(int, fields)
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def one_round(first: Worker, second: Worker) -> tuple[float, float, bool]:
    """Both durations, and whether the machine was quiet."""
    began, busy = time.perf_counter(), busy_seconds()
    a, own_a = first.seconds()
    b, own_b = second.seconds()
    elapsed = time.perf_counter() - began
    foreign = busy_seconds() - busy - own_a - own_b
    return a, b, foreign <= FOREIGN * elapsed * (os.cpu_count() or 1) + 0.02


def timed(name: str, case: Case, threads: int, rounds: int) -> dict[str, Any]:
    """One row of the table."""
    quiet: list[tuple[float, float]] = []
    noisy: list[tuple[float, float]] = []
    with workers(name, threads) as (ours, theirs):
        for attempt in range(rounds * _ATTEMPTS):
            if attempt % 2:  # who comes first changes
                b, a, clean = one_round(theirs, ours)
            else:
                a, b, clean = one_round(ours, theirs)
            (quiet if clean else noisy).append((a, b))
            if len(quiet) == rounds or (not quiet and len(noisy) >= 2 * rounds):
                break
    pairs = quiet if len(quiet) >= 3 else quiet + noisy
    return {
        "what": case.what,
        "seconds_of": case.unit,
        "peer": case.peer,
        "ours": median(a for a, _ in pairs),
        "theirs": median(b for _, b in pairs),
        "ratio": median(a / b for a, b in pairs),
        "rounds": len(pairs),
        "noisy": len(pairs) - len(quiet),
        "threads": threads,
    }


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """The README's lines: each ratio beside its peer, and where it was measured."""
    lines = ["| time of | beside | ratio |", "| --- | --- | ---: |"]
    for row in rows:
        ratio = _shown(float(row["ratio"]))
        lines.append(f"| {row['what']}, per {row['seconds_of']} | {row['peer']} | {ratio} |")
    machines = sorted({f"{row['machine']} ({row['date']})" for row in rows})
    loud = [row["what"] for row in rows if int(row["noisy"])]
    note = f" On a busy machine, so roughly: {', '.join(loud)}." if loud else ""
    return "\n".join([*lines, "", f"On {'; '.join(machines)}.{note}"])


def _shown(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def draw(rows: Sequence[dict[str, Any]], target: Path) -> None:
    """The ratios as bars on a logarithmic axis; left of the line is faster than the peer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    labels = [f"{row['what'].replace('`', '')}\nbeside {row['peer']}" for row in rows]
    ratios = [float(row["ratio"]) for row in rows]
    axes.barh(labels, [ratio - 1 for ratio in ratios], left=1, color="#4c72b0", height=0.6)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(min(ratios) / 2, max(1.5, 1.5 * max(ratios)))
    for place, ratio in enumerate(ratios):
        left = ratio < 1
        axes.annotate(
            _shown(ratio), (ratio, place), (-4 if left else 4, 0), textcoords="offset points",
            ha="right" if left else "left", va="center", fontsize=8,
        )  # fmt: skip
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    axes.set_xlabel("time as a share of the peer's (less is faster)", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110)


def main() -> None:
    """Times the cases, and writes table, picture and README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all when none is named")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if unknown := set(options.cases) - CASES.keys():
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    import torch

    torch.set_num_threads(options.threads)  # for the table's note on the machine
    file, rows = HERE / "speed.csv", {}
    if options.cases and file.is_file():  # the other rows stay
        rows = {row["what"]: row for row in _read(file)}
    for name, case in CASES.items():
        if not options.cases or name in options.cases:
            rows[case.what] = timed(name, case, options.threads, options.rounds)
            write(__file__, [rows[c.what] for c in CASES.values() if c.what in rows])
    draw(_read(file), HERE / "speed.png")
    readme = HERE.parent / "README.md"
    text = with_results(readme.read_text(encoding="utf-8"), table_of(_read(file)), "speed")
    readme.write_text(text, encoding="utf-8")


def _read(file: Path) -> list[dict[str, Any]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


if __name__ == "__main__":
    main()
