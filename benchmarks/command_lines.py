"""1,000 random and hostile command lines: refused in one line, or run with the meaning they have.

    python benchmarks/command_lines.py [--count 1000] [--first 0] [--seed 0] [--show]

A grammar (``_command_grammar.py``) makes them of the verbs, the keys of their composed configs and
values that belong there or do not. Each runs in a child of one process that has imported
everything, in a folder of its own, without network and GPU, two at a time and at most a minute
long; those that are meant to run train one step of a tiny network, or draw a few images. Counted
are tracebacks, answers of more than one line, timeouts, and wrong meanings: successes without the
values that were typed or the files that are promised, refusals that left a file. ``--show`` prints
every line with what was said. About a quarter of an hour.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from _command_child import KINDS, Child, Outcome, no_network, start
from _command_grammar import BASES, VERBS, Line, keys, lines
from _command_values import furnish
from _golden import read
from _table import write

CHILDREN = 2


def outcomes(commands: Sequence[Line], place: Path) -> Iterator[Outcome]:
    """What each line did, in the order in which they end."""
    openai = openai_file()
    waiting, running = list(enumerate(commands)), list[Child]()
    while waiting or running:
        while waiting and len(running) < CHILDREN:
            index, line = waiting.pop(0)
            folder = place / str(index)
            folder.mkdir()
            furnish(folder, openai)
            running.append(start(line, folder))
        for child in list(running):
            if (outcome := child.outcome()) is not None:
                running.remove(child)
                shutil.rmtree(child.folder, ignore_errors=True)
                yield outcome
        time.sleep(0.01)


def openai_file() -> tuple[bytes, dict[str, Any]]:
    """A tiny file of published weights with its config, for ``zoo convert``."""
    case = read("openai")["guided_legacy_order_heads"]
    buffer = io.BytesIO()
    torch.save(case.state(torch.float32), buffer)
    return buffer.getvalue(), dict(case.config["arguments"])


def import_everything() -> None:
    """What the verbs import while they run, so that the children need not."""
    import lightning  # noqa: F401
    import scipy.linalg  # noqa: F401
    import sklearn.datasets  # noqa: F401
    from hydra.core.override_parser.overrides_parser import OverridesParser

    import eval.listing
    import eval.study.comparison
    import eval.study.evaluation
    import eval.study.reproduction
    import eval.study.rosetta
    import eval.study.statistics
    import eval.study.sweep  # noqa: F401
    import zoo.command.sample
    import zoo.conformance.report
    import zoo.convert.convert
    import zoo.training.train  # noqa: F401

    OverridesParser.create().parse_override("a=1")
    for verb in BASES:
        keys(verb)


def table(results: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row for each verb and one for all: how many lines did what."""
    rows = []
    for verb in (*VERBS, "all"):
        of_verb = [r for r in results if verb in ("all", r.line.verb)]
        counts = Counter(r.kind for r in of_verb)
        row: dict[str, Any] = {"verb": verb, "lines": len(of_verb)}
        rows.append(row | {kind.replace(" ", "_"): counts[kind] for kind in KINDS})
    return rows


def main() -> None:
    """Runs them and writes the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--show", action="store_true")
    chosen = parser.parse_args()
    no_network()
    import_everything()
    commands = list(lines(chosen.seed, chosen.first + chosen.count))[chosen.first :]
    results = []
    with tempfile.TemporaryDirectory() as place:
        for outcome in outcomes(commands, Path(place)):
            results.append(outcome)
            if chosen.show:
                print(report(outcome), flush=True)
    if chosen.count == 1000:
        write(__file__, table(results))
    else:
        print(*table(results), sep="\n")


def report(outcome: Outcome) -> str:
    """A line's outcome for a reader."""
    said = outcome.stderr.strip()
    said = said if len(said) < 1500 else f"{said[:500]}\n...\n{said[-900:]}"
    return (
        f"=== {outcome.kind} ({outcome.code}, {outcome.seconds:.1f} s) {outcome.reason}\n"
        f"{outcome.line}\n    {said}"
    )


if __name__ == "__main__":
    main()
