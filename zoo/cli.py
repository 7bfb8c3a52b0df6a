"""``zoo <verb> ...``: imports a verb's module only once the verb is known."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

# The one place where the zoo names the evaluation harness, and as strings only.
_VERBS = {
    "train": ("zoo.train", "train a model and save it as one file"),
    "sample": ("zoo.sample", "draw images from a saved model"),
    "evaluate": ("eval.evaluate", "measure a saved model, or a folder of images"),
    "compare": ("eval.compare", "train and measure several models under one budget"),
    "sweep": ("eval.sweep", "measure a saved model over comma lists of settings"),
    "reproduce": ("eval.reproduce", "measure what a paper's table says again, and compare"),
    "statistics": ("eval.statistics", "moments of a reference set, as a file to compare with"),
    "rosetta": ("eval.rosetta", "score one set of images under every FID protocol at hand"),
    "check": (
        "zoo.conformance.__main__",
        "run the conformance suite on a sampler, such as your own",
    ),
    "convert": ("zoo.convert.__main__", "turn published weights into one file of this zoo"),
    "ema": ("zoo.averages.__main__", "averages of a training's weights, of any length after it"),
    "list": ("eval.listing", "show what exists: models, data, samplers, metrics, checkpoints"),
    "cache": ("eval.cache", "show what is kept of evaluations, and prune it by age and size"),
    "doctor": ("eval.doctor", "show what is installed, which device is used, what is missing"),
}

_EXAMPLES = """\
examples:
  zoo train model=improved_ddpm data=cifar10 trainer.max_steps=1000
  zoo train -m model=ddpm,improved_ddpm seed=0,1
  zoo train model=ddpm --cfg job --resolve
  zoo sample --help
  zoo compare experiment=digits
  zoo list samplers

Set ZOO_TRACEBACK=1 to see where an error came from."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb that ``argv`` names (``sys.argv[1:]`` when None)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    try:
        _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has read enough
        _close_stdout()
        raise SystemExit(141) from None
    except Exception as error:  # of verbs without a config, and of stdout itself
        from zoo.system.errors import explain, leave

        line = None if os.environ.get("ZOO_TRACEBACK") == "1" else explain(error, list)
        if line is None:
            raise
        if isinstance(error, OSError):
            _close_stdout()
        leave(" ".join(["zoo", *arguments[:1]]), line)


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return
    verb, rest = arguments[0], arguments[1:]
    if verb in ("-V", "--version"):
        from zoo import __version__

        print(f"diffusion-zoo {__version__}")
        return
    if verb not in _VERBS:
        from zoo.system.errors import leave, suggestion

        there_are = f"there are {', '.join(_VERBS)}{suggestion(verb, _VERBS)}"
        leave("zoo", f"no verb '{verb}'; {there_are}")
    module, _ = _VERBS[verb]
    importlib.import_module(module).main(rest)


def _open_streams() -> None:
    """Somewhere to write to where a stream is closed; and no sign that the encoding lacks."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _close_stdout() -> None:
    """Drops what could not be written, which Python would try again at its end."""
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def _help() -> str:
    verbs = "\n".join(f"  {verb:<12}{line}" for verb, (_, line) in _VERBS.items())
    return f"""\
usage: zoo <verb> [group=name ...] [key=value ...]

verbs (zoo <verb> --help says more):
{verbs}

{_EXAMPLES}"""


if __name__ == "__main__":
    main()
