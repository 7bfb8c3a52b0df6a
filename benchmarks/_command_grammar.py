"""A grammar of command lines: what a verb takes, and what somebody may write in its place."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from _command_right import BASES, RIGHT
from _command_values import (
    ENVIRONMENTS,
    FLAGS,
    INTERPOLATIONS,
    LISTS,
    NUMBERS,
    OWN,
    PATHS,
    STREAMS,
    TARGETS,
    WORDS,
)  # fmt: skip
from omegaconf import DictConfig, ListConfig, OmegaConf

from zoo import paths
from zoo.command.compose import compose, dotted
from zoo.command.help import options

WITHOUT_CONFIG = ("list", "doctor", "cache")
VERBS = (*BASES, *WITHOUT_CONFIG)
_WEIGHTS = {"train": 5, "sample": 5, "evaluate": 3, "compare": 3, "convert": 3}

_ENDLESS = (
    "max_steps",
    "num_nodes",
    "max_epochs",
)  # what is right and takes forever proves nothing


@dataclass
class Line:
    """One command line: a verb, its arguments, changes of the environment, the kind of streams."""

    verb: str
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    streams: str = ""
    meant: bool = False
    """Whether it is right, and so has to run."""

    def __str__(self) -> str:
        words = [w if len(w) < 120 else f"{w[:60]}...({len(w)})" for w in self.arguments]
        around = [f"{k}={v}" for k, v in self.environment.items()] + [self.streams] * bool(
            self.streams
        )
        text = f"zoo {self.verb} {' '.join(map(ascii_word, words))}"
        return f"[{' '.join(around)}] {text}" if around else text


def ascii_word(word: str) -> str:
    """A word as a report shows it."""
    return word if word.isascii() and word.isprintable() and " " not in word else ascii(word)


@cache
def keys(verb: str) -> tuple[list[str], list[str]]:
    """The dotted keys of a verb's composed config, and its groups."""
    base = [a for a in BASES[verb] if (paths.configs() / a.partition("=")[0]).is_dir()]
    if verb == "check":
        base = []
    every = [key for key in dotted(compose(verb, base)) if "._" not in key]
    if verb == "compare":  # other data want an extractor of their own, which trains for minutes
        every = [key for key in every if key != "retrain" and not key.startswith("data")]
    top = [key for key in every if (paths.configs() / key).is_dir()]
    nested = ["recipe/time_sampler", "recipe/optimizer"] if verb in ("train", "compare") else []
    return every, [*top, *nested, "model", "sampler"]


def lines(seed: int, count: int) -> Iterator[Line]:
    """Command lines; line i depends on seed and i alone."""
    for index in range(count):
        draw = random.Random(f"{seed}-{index}")
        verb = draw.choices(VERBS, [_WEIGHTS.get(verb, 1) for verb in VERBS])[0]
        line = _right(verb, draw) if draw.random() < 0.2 else _hostile(verb, draw)
        if draw.random() < 0.06:
            line.environment = draw.choice(ENVIRONMENTS)
            line.meant = False
        if draw.random() < 0.05:
            line.streams = draw.choice(STREAMS)
            line.meant = False
        yield line


def _hostile(verb: str, draw: random.Random) -> Line:
    if verb in WITHOUT_CONFIG:
        flags = [word for flag in FLAGS for word in flag]
        words = [draw.choice([*WORDS, *flags, "samplers", "metric", "a=b", "prune"])]
        more = draw.choice(["samplers", "prune", "max_age=30d", "max_age=x", "max_size=-1"])
        return Line(verb, [*words, more] if draw.random() < 0.4 else words)
    change = draw.choices([_value, _fitting, _key, _choice, _flag, _several, _target],
                          [6, 8, 3, 3, 2, 1, 2])[0](verb, draw)  # fmt: skip
    small = verb in ("train", "compare") or draw.random() < 0.85  # others train for hours
    base = BASES[verb] if small else []
    return Line(verb, [*base, *change] if draw.random() < 0.9 else [*change, *base])


def _hostile_value(draw: random.Random) -> str:
    kinds = [NUMBERS, WORDS, LISTS, INTERPOLATIONS, PATHS]
    return draw.choice(draw.choices(kinds, [4, 4, 3, 2, 3])[0])


def _value(verb: str, draw: random.Random) -> list[str]:
    key = draw.choice(keys(verb)[0] + [k for k in keys(verb)[0] if "." not in k] * 2)
    value = _hostile_value(draw)
    if key.rpartition(".")[2] in _ENDLESS and value[:1].isdigit():
        value = "-1"
    return [f"{key}={value}"]


def _fitting(verb: str, draw: random.Random) -> list[str]:
    """One to three values of their keys' types that may yet be impossible, alone or together."""
    typed = {key: value for key, value in fields(verb).items() if value is not None}
    chosen = draw.sample(sorted(typed), min(len(typed), draw.choice([1, 1, 2, 3])))
    return [f"{key}={_like(typed[key], key, draw)}" for key in chosen]


def _like(value: Any, key: str, draw: random.Random) -> str:
    if isinstance(value, bool):
        return draw.choice(["true", "false"])
    if isinstance(value, int):
        most = ["1"] if key.rpartition(".")[2] in _ENDLESS else ["1000000000000", "4294967295"]
        return draw.choice(["0", "1", "2", "3", "5", "7", "13", "-1", "null", *most])
    if isinstance(value, float):
        numbers = ["0", "1", "-1", "0.5", "1e-30", "1e30", "2", "-0.0", "1e-400", "0.999", "null"]
        return draw.choice(numbers)
    if isinstance(value, list):
        return draw.choice(
            [
                "[]",
                "[1]",
                "[0]",
                "[-1]",
                "[1,2,3]",
                "[1,1]",
                "[a]",
                "[0.5]",
                "null",
                "[1,2]",
                "[1000000000000]",
                "[null]",
                "[ddpm]",
                "[ddim,ddim]",
            ]
        )
    return draw.choice([*PATHS, "null", "1", "auto", "word", "two words", "naïve", "日本", "a,b"])


@cache
def fields(verb: str) -> dict[str, Any]:
    """The plain values of a verb's config, by key; interpolations are left out."""
    base = [a for a in BASES[verb] if (paths.configs() / a.partition("=")[0]).is_dir()]
    nodes = dotted(compose(verb, [] if verb == "check" else base))
    nodes = {key: node for key, node in nodes.items() if key in keys(verb)[0]}
    plain = {
        key: OmegaConf.to_container(n) if isinstance(n, ListConfig) else n._value()
        for key, n in nodes.items()
        if not isinstance(n, DictConfig) and "._" not in key and not n._is_interpolation()
    }
    return {key: "" if value is None else value for key, value in plain.items()}


def _key(verb: str, draw: random.Random) -> list[str]:
    key, other = draw.choice(keys(verb)[0]), draw.choice(keys(verb)[0])
    changed = [
        key.upper(), key[:-1], f"{key}.below", f"{key}x", f"_{key}", f"+{key}", f"++{key}",
        f"~{key}", "+new", "++new.deep", f"{key}.", f".{key}", f"{key}..x", f"{key}[0]", "",
        f"{key}@{other}", f"/{key}", f"{key}/x", f" {key}", f"{key} ", f"{key}:{other}", "=", "é",
        f"+{key}.below", f"{key}.0", f"{key}.{key}", "~", "+", "++", "@", "hydra", "_target_",
        f"{key}._target_", f"+{key}._args_", f"+{key}._partial_", f"+{key}._convert_", "defaults",
    ]  # fmt: skip
    chosen = draw.choice(changed)
    sign = draw.random() < 0.9
    return [f"{chosen}={draw.choice(['1', 'null', 'x', '[1]', '{a: 1}'])}" if sign else chosen]


def _choice(verb: str, draw: random.Random) -> list[str]:
    groups = [*keys(verb)[1], "experiment", "protocol", "logger", "data", "trainer"]
    if verb == "compare":  # which then trains in earnest
        groups = [group for group in groups if group not in ("data", "experiment", "model")]
    group = draw.choice(groups)
    other = draw.choice(keys(verb)[1])
    names = [*options(group), *options(other), "_parts", "nowhere", "../train", "", "null", "DDPM"]
    names += ["ddim.yaml", "a/b", "/etc/passwd", "{a:1}", "[ddim]", "[fid,fid]", "digits,cifar10"]
    name = draw.choice(names)
    form = draw.choice(["{g}={n}", "{g}={n}", "{g}={n}", "+{g}={n}", "~{g}", "~{g}={n}",
                        "{g}@x={n}", "{g}@_global_={n}", "/{g}={n}", "++{g}={n}", "{g}={n},{n}",
                        "{g}/x={n}", "{g}={n} "])  # fmt: skip
    return [form.format(g=group, n=name)]


def _flag(verb: str, draw: random.Random) -> list[str]:
    flags = list(draw.choice(FLAGS))
    if flags[0] in ("-m", "--multirun"):
        flags.append(
            draw.choice(
                [
                    "seed=1,2",
                    "seed=range(1,3)",
                    "seed=choice(1,2)",
                    "seed=glob(*)",
                    "sampler=glob(d*)",
                    "seed=1,x",
                    "sampler=ddim,nowhere",
                    "seed=range(3,1)",
                    "seed=interval(0,1)",
                    "run_dir=a,b",
                    "seed=1",
                    "seed=",
                    "x=1,2",
                    "seed=range(1,1000000000)",
                ]
            )
        )
    return flags


def _several(verb: str, draw: random.Random) -> list[str]:
    key = draw.choice(keys(verb)[0])
    return draw.choice([
        [f"{key}=1", f"{key}=2"], [f"{key}=1", f"~{key}"], [f"~{key}", f"{key}=1"],
        ["word", "word"], [""], [" "], ["=", "="], ["a"] * 500, [f"+{key}=1", f"+{key}=2"],
        ["\n"], ["-m", "-m"], [f"{key}=x", "seed=y", "num_images=z"],
    ])  # fmt: skip


def _target(verb: str, draw: random.Random) -> list[str]:
    """A node that names another class, by hand or from a config of the user's own."""
    nodes = [key for key in keys(verb)[0] if any(k.startswith(f"{key}.") for k in keys(verb)[0])]
    node, target = draw.choice([*nodes, "sampler"]), draw.choice(TARGETS)
    group, name = draw.choice([("sampler", own) for own in OWN] + [("data", own) for own in OWN])
    return draw.choice([
        [f"{node}._target_={target}"], [f"{node}={{_target_: {target}}}"],
        [f"+{node}.more={{_target_: {target}, _args_: [ls]}}"],
        ["--config-dir", "own", f"{group}={name}"], ["--config-dir", "own", f"{group}={name}"],
    ])  # fmt: skip


def _right(verb: str, draw: random.Random) -> Line:
    """A line that has to run, and whose values are then found in what it wrote."""
    if verb in WITHOUT_CONFIG:
        kinds = draw.choice([["samplers"], ["metrics", "data"], []])
        return Line(verb, kinds if verb == "list" else [], meant=True)
    base = BASES[verb]
    if verb == "check":
        return Line(verb, ["sampler=ddim", "--cfg", "job"], meant=True)
    pool = [
        f"run_dir={draw.choice(['run', 'a=b', 'with space', 'deep/er', 'naïve', '1e5', 'a,b c'])}"
    ]
    pool = pool if verb not in ("sample", "convert") else []
    pool += RIGHT.get(verb, RIGHT["measured"] if verb in ("evaluate", "sweep") else [])
    if verb not in ("convert", "compare"):
        pool.append(f"seed={draw.randrange(2**32)}")
    chosen = draw.sample(pool, min(len(pool), draw.randint(1, 4)))
    return Line(verb, [*base, *chosen], meant=True)
