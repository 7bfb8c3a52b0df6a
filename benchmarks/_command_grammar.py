"""A grammar of command lines: what a verb takes, and what somebody may write in its place."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf

from zoo import paths
from zoo.command.compose import compose, dotted
from zoo.command.help import options

TINY = [
    "model.denoiser.channels=32", "model.denoiser.channel_mult=[1]",
    "model.denoiser.attention_at=[]", "model.denoiser.num_res_blocks=1",
    "data.batch_size=4", "data.image_size=16", "sampler=ddim", "sampler.num_steps=2",
    "trainer.max_steps=1", "trainer.limit_val_batches=0", "trainer.log_every_n_steps=1",
    "callbacks.sample_grid.num_images=4", "recipe.lr_scheduler.num_steps=5", "run_dir=run",
]  # fmt: skip
_FEW = ["sampler=ddim", "sampler.num_steps=2", "extractor=[small]", "metric=[fid]", "cache=false"]
_MEASURED = ["checkpoint=digits/ddpm", "num_images=4", "fid_counts=[2]", "reference=pictures"]
BASES: dict[str, list[str]] = {
    "train": TINY,
    "sample": ["checkpoint=digits/ddpm", "num_images=2", "sampler=ddim", "sampler.num_steps=2"],
    "evaluate": [*_MEASURED, "held_out=others", *_FEW, "run_dir=run"],
    "compare": ["experiment=digits", "models=[ddpm]", "protocol.num_images=4", "run_dir=run",
                "protocol.fid_counts=[2]", *_FEW],
    "sweep": [*_MEASURED, "held_out=others", *_FEW, "sampler.num_steps=1,2", "run_dir=run"],
    "statistics": ["images=pictures", "extractor=[small]", "run_dir=run"],
    "rosetta": ["images=pictures", "reference=pictures", "extractor=[small]", "fid_counts=[2]",
                "held_out=others", "run_dir=run"],
    "reproduce": ["table=digits", "rows=[ddpm]", "num_images=4", "fid_counts=[2]", "run_dir=run"],
    "convert": ["source=openai.pt", "config=openai.yaml", "out=out.safetensors"],
    "check": ["sampler=nowhere"],
}  # fmt: skip
"""For each verb a command line that runs in a second or two; the suite of ``check`` takes longer."""

VERBS = (*BASES, "list", "doctor")
_WEIGHTS = {"train": 5, "sample": 5, "evaluate": 3, "compare": 3, "convert": 3}

NUMBERS = [
    "-1", "0", "1", "2", "3", "7", "1.5", "0.001", "1000000000000", "2.0", "-0.0", "1e-400", "1e400", "1" + "0" * 30,
    "-1" + "0" * 30, "nan", "inf", "-inf", "9223372036854775808", "4294967296", "1_0", "0x10",
    "007", "1e3", "٣", "½",
]  # fmt: skip
WORDS = [
    "", "null", "true", "False", "yes", "auto", "none", "~", "-", ".", "..", "/", "*", "?", "@",
    "word", "two words", " padded ", "a,b", "a=b", "a:b", "a@b", "a#b", "a'b", 'a"b', "'", '"',
    "'open", '"open', "'closed'", '"closed"', "\\", "a\\", "\\'", "naïve", "日本", "مرحبا", "‮rtl",
    "😀", "e\u0301", "\udcff", "nul\0nul", "tab\ttab", "line\nline", "\r", "\u2028", "\x1b[31m",
    "x" * 100_000, "%s", "{}", "{0}", "${", "$", "$HOME", "`id`", "$(id)", ";", "|", "&", "<", "!",
]  # fmt: skip
LISTS = [
    "[]", "[[]]", "[1]", "[1,2]", "[1,[2,[3]]]", "[null]", "[a,1,true]", "[nan]", "[-1]", "[",
    "]", "[1,", "[1,,2]", "{}", "{a:1}", "{a: {b: [1]}}", "{_target_: os.system}", "{", "}",
    "{a}", "{1:2}", "1,2", "1,", ",", "range(1,3)", "choice(1,2)", "glob(*)", "glob(*,exclude=d*)",
    "sort(2,1)", "interval(0,1)", "shuffle(1,2)", "str(1)", "int(a)", "float(1)", "bool(3)",
    "int(", "json_str(1)", "extend_list(1)", "[1]extra", "(1,2)", "()",
    "[" * 200 + "]" * 200,
]  # fmt: skip
INTERPOLATIONS = [
    "${seed}", "${nowhere}", "${run_dir}", "${a.b.c}", "${.seed}", "${..seed}", "${oc.env:HOME}",
    "${oc.env:NOWHERE}", "${oc.env:NOWHERE,7}", "${eval:1+1}", "${mul:2,3}", "${mul:2}",
    "${mul:a,b}", "${label_rows:1}", "${oc.decode:abc}", "${oc.create:{a:1}}", "${hydra:job.num}",
    "${hydra:nowhere}", "${now:%Y}", "${${seed}}", "${", "${}", "\\${seed}", "$${seed}", "${seed",
    "x${seed}y", "${oc.select:nowhere,3}", "${oc.dict.keys:sampler}", "${oc.deprecated:seed}",
]  # fmt: skip
PATHS = [
    "empty", "pictures", "text.txt", "zero", "torn.safetensors", "text.safetensors", "one.png",
    "broken.png", "/dev/null", "/dev/full", "/dev/zero/x", "../..", "/proc/nowhere", "/", "~",
    "~nobody/x", "pictures/../pictures", "nowhere/deep", "text.txt/below", "a=b", "with space",
    "openai.pt", "evil.pt", "torn.npz", "short.npz", "loop", "dangling", "n" * 300, "fifo.d",
    "digits/ddpm", "digits/autoencoder", "digits/small_clip", "digits/noisy", "digits", "archive.zip",
    "broken.zip", "table.parquet", "text.parquet", "list.yaml", "tabs.yaml", "own", "out.jpg",
    "out.PNG", "out.npz", "new/folder", "new/", ".png", "out.tar.gz",
]  # fmt: skip
TARGETS = [
    "os.system", "builtins.exec", "builtins.eval", "builtins.print", "subprocess.run", "nowhere.X",
    "zoo", "zoo.sampler", "zoo.sampler.Nowhere", "zoo.sampler._private", "zoo.sampler.grid._step",
    "zoo.sampler.DDIM", "zoo.models.ddpm.DDPM", "zoo.data.Digits", "torch.nn.Linear", "", "1", ".",
    "a..b", "zoo.sampler.", ".zoo", "pathlib.Path", "collections.OrderedDict", "own_part.Own",
    "own_part.broken", "own_syntax.Own", "lightning.Trainer", "math.sqrt", "datetime.datetime",
]  # fmt: skip
FLAGS = [
    ["-m"], ["--multirun"], ["--cfg"], ["--cfg", "job"], ["--cfg", "job", "--resolve"],
    ["--cfg", "all"], ["--cfg", "nowhere"], ["--resolve"], ["--info"], ["--info", "all"],
    ["--info", "defaults"], ["--info", "nowhere"], ["--hydra-help"], ["--help"], ["-h"],
    ["--version"], ["--package", "sampler"], ["-p"], ["--run"], ["--nowhere"], ["-x"], ["--"],
    ["-"], ["---"], ["--seed=3"], ["--seed", "3"], ["--config-dir"], ["--config-dir", "nowhere"],
    ["--config-dir", "empty"], ["--config-dir=own"], ["--config-dir", "text.txt"], ["-cd", "own"],
    ["--config-dir", "own", "--config-dir", "empty"], ["--config-name"],
    ["--config-name", "nowhere"], ["--config-name", "sample"], ["--config-name", "train"],
    ["--config-name", "sampler/ddim"], ["--config-name=../x"], ["--config-path", "empty"],
    ["--config-path", "/nowhere"], ["--shell-completion"], ["-sc", "install=bash"],
    ["--experimental-rerun", "text.txt"], ["--experimental-rerun", "nowhere.pickle"],
    ["--cfg", "hydra"], ["--cfg", "job", "--package", "nowhere"],
    ["hydra.searchpath=[own]"], ["hydra.searchpath=[pkg://nowhere]"], ["hydra.searchpath=7"],
    ["hydra.searchpath=[file://empty]"], ["hydra.run.dir=elsewhere"], ["hydra.nowhere=3"],
    ["hydra.mode=MULTIRUN"], ["hydra.mode=nowhere"], ["hydra.job.chdir=true"],
    ["hydra/launcher=nowhere"], ["hydra/sweeper=basic"], ["hydra.verbose=true"],
    ["hydra.output_subdir=sub"], ["hydra.job.name=x"], ["hydra.job_logging=null"],
    ["hydra/job_logging=default"], ["hydra.sweep.dir=elsewhere", "-m", "seed=1,2"],
    ["hydra=null"], ["~hydra"], ["hydra.callbacks={a:{_target_:os.system}}"],
]  # fmt: skip
ENVIRONMENTS: list[dict[str, str]] = [
    {"WANDB_MODE": ""}, {"WANDB_MODE": "nowhere"}, {"ZOO_DATA": "text.txt"}, {"ZOO_DATA": ""},
    {"ZOO_DATA": "nowhere"}, {"ZOO_CACHE": "text.txt"}, {"ZOO_CACHE": "/proc/nowhere"},
    {"ZOO_CACHE": ""}, {"LOCAL_RANK": "x"}, {"LOCAL_RANK": "1", "ZOO_RUN_DIR": "elsewhere"},
    {"ZOO_RUN_DIR": "elsewhere"}, {"TERM": "dumb"}, {"COLUMNS": "1"}, {"COLUMNS": "x"},
    {"HOME": "/nowhere"}, {"HOME": ""}, {"HYDRA_FULL_ERROR": "1"}, {"NO_COLOR": "1"},
    {"FORCE_COLOR": "1"}, {"TMPDIR": "/nowhere"}, {"CUDA_VISIBLE_DEVICES": "x"},
    {"PYTHONHASHSEED": "7"}, {"SLURM_NTASKS": "2"}, {"WORLD_SIZE": "2"}, {"OMP_NUM_THREADS": "x"},
]  # fmt: skip
STREAMS = ["ascii", "closed stdout", "closed stderr", "full stdout", "broken stdout", "latin-1"]
_ENDLESS = ("max_steps", "num_nodes", "max_epochs")  # what is right and takes forever proves nothing


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
        around = [f"{k}={v}" for k, v in self.environment.items()] + [self.streams] * bool(self.streams)
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
    if verb in ("list", "doctor"):
        words = [draw.choice([*WORDS, "samplers", "metric", *sum(FLAGS, []), "a=b"])]
        return Line(verb, words + (["samplers"] if draw.random() < 0.2 else []))
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
        return draw.choice(["[]", "[1]", "[0]", "[-1]", "[1,2,3]", "[1,1]", "[a]", "[0.5]", "null",
                            "[1,2]", "[1000000000000]", "[null]", "[ddpm]", "[ddim,ddim]"])
    return draw.choice([*PATHS, "null", "1", "auto", "word", "two words", "naïve", "日本", "a,b"])


@cache
def fields(verb: str) -> dict[str, Any]:
    """The plain values of a verb's config, by key; interpolations are left out."""
    base = [a for a in BASES[verb] if (paths.configs() / a.partition("=")[0]).is_dir()]
    nodes = dotted(compose(verb, [] if verb == "check" else base))
    plain = {key: OmegaConf.to_container(n) if isinstance(n, ListConfig) else n._value()
             for key, n in nodes.items()
             if not isinstance(n, DictConfig) and "._" not in key and not n._is_interpolation()}
    return {key: "" if value is None else value for key, value in plain.items()}


def _key(verb: str, draw: random.Random) -> list[str]:
    key, other = draw.choice(keys(verb)[0]), draw.choice(keys(verb)[0])
    changed = [
        key.upper(), key[:-1], f"{key}.below", f"{key}x", f"_{key}", f"+{key}", f"++{key}",
        f"~{key}", f"+new", f"++new.deep", f"{key}.", f".{key}", f"{key}..x", f"{key}[0]", "",
        f"{key}@{other}", f"/{key}", f"{key}/x", f" {key}", f"{key} ", f"{key}:{other}", "=", "é",
        f"+{key}.below", f"{key}.0", f"{key}.{key}", "~", "+", "++", "@", "hydra", "_target_",
        f"{key}._target_", f"+{key}._args_", f"+{key}._partial_", f"+{key}._convert_", "defaults",
    ]  # fmt: skip
    chosen = draw.choice(changed)
    sign = draw.random() < 0.9
    return [f"{chosen}={draw.choice(['1', 'null', 'x', '[1]', '{a: 1}'])}" if sign else chosen]


def _choice(verb: str, draw: random.Random) -> list[str]:
    group = draw.choice([*keys(verb)[1], "experiment", "protocol", "logger", "data", "trainer"])
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
        flags.append(draw.choice(["seed=1,2", "seed=range(1,3)", "seed=choice(1,2)", "seed=glob(*)",
                                  "sampler=glob(d*)", "seed=1,x", "sampler=ddim,nowhere",
                                  "seed=range(3,1)", "seed=interval(0,1)", "run_dir=a,b",
                                  "seed=1", "seed=", "x=1,2", "seed=range(1,1000000000)"]))
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


OWN: dict[str, str | bytes] = {
    "right": "# a sampler\n_target_: zoo.sampler.DDIM\nnum_steps: 2\n",
    "tabs": "_target_: zoo.sampler.DDIM\n\tnum_steps: 2\n",
    "double": "_target_: zoo.sampler.DDIM\nnum_steps: 2\nnum_steps: 3\n",
    "object": "!!python/object/apply:os.system ['touch pwned']\n",
    "name": "_target_: !!python/name:os.system\n",
    "anchors": "a: &a\n  b: *a\n",
    "laughs": "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
    "no_target": "num_steps: 2\n",
    "system": "_target_: os.system\n_args_: ['touch pwned']\n",
    "execute": "_target_: builtins.exec\n_args_: ['open(\"pwned\",\"w\")']\n",
    "private": "_target_: zoo.sampler.grid._respacing\n",
    "own_class": "_target_: own_part.Own\n",
    "own_broken": "_target_: own_part.broken\n",
    "own_syntax": "_target_: own_syntax.Own\n",
    "own_raises": "_target_: own_raises.Own\n",
    "list": "[1, 2]\n",
    "word": "word\n",
    "nothing": "",
    "number": "3\n",
    "binary": b"\xff\xfe\x00\x01",
    "unclosed": "a: [1\n",
    "defaults": "defaults:\n  - nowhere: x\n_target_: zoo.sampler.DDIM\n",
    "itself": "defaults:\n  - itself\n_target_: zoo.sampler.DDIM\n",
    "bad_defaults": "defaults: 3\n_target_: zoo.sampler.DDIM\n",
    "package": "# @package nowhere.x\n_target_: zoo.sampler.DDIM\n",
    "interpolated": "_target_: ${nowhere}\nnum_steps: ${also.nowhere}\n",
    "keys": "1: 2\ntrue: 3\nnull: 4\n",
    "nested": "_target_: zoo.sampler.DDIM\ngrid: {_target_: os.getcwd}\n",
    "arguments": "_target_: zoo.sampler.DDIM\n_args_: [1, 2, 3, 4, 5, 6]\n",
    "partial": "_target_: zoo.sampler.DDIM\n_partial_: true\n",
    "wrong_kind": "_target_: torch.nn.Linear\nin_features: 2\nout_features: 3\n",
}
"""Configs of a user's own, by name."""


def _right(verb: str, draw: random.Random) -> Line:
    """A line that has to run, and whose values are then found in what it wrote."""
    if verb in ("list", "doctor"):
        return Line(verb, draw.choice([["samplers"], ["metrics", "data"], []]) if verb == "list" else [], meant=True)
    base = BASES[verb]
    if verb == "check":
        return Line(verb, ["sampler=ddim", "--cfg", "job"], meant=True)
    pool = [f"run_dir={draw.choice(['run', 'a=b', 'with space', 'deep/er', 'naïve', '1e5', 'a,b c'])}"]
    pool = pool if verb not in ("sample", "convert") else []
    pool += _RIGHT.get(verb, _RIGHT["measured"] if verb in ("evaluate", "sweep") else [])
    if verb not in ("convert", "compare"):
        pool.append(f"seed={draw.randrange(2**32)}")
    chosen = draw.sample(pool, min(len(pool), draw.randint(1, 4)))
    return Line(verb, [*base, *chosen], meant=True)


_RIGHT = {
    "train": [
        "schedule=cosine", "parameterization=v", "sampler=heun",
        "recipe.optimizer.lr=1e-4", "conditioner=class_label", "data.condition=none",
        "trainer.precision=32", "trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.5",
        "logger=null", "recipe.ema.decay=0.9",
        "channels_last=true", "recipe/time_sampler=loss_second_moment", "+data.flip=true",
        "model=ddpm", "model.denoiser.dropout=0.1", "recipe.optimizer.betas=0.8,0.9",
        "trainer=cpu", "data.seed=5",
    ],
    "sample": [
        "num_images=3", "out=out.npz", "out=folder", "out=deep/er.png", "columns=1", "batch_size=1",
        "condition=3", "condition=[3,7]", "sampler.num_steps=3", "sampler=heun", "device=cpu",
        "precision=bf16-mixed", "guidance=unguided", "sampler.eta=0.5",
    ],
    "measured": [
        "name=my name", "labels=random", "dtype=float32", "batch_size=2", "keep=kept", "keep=kept.npz",
        "metric=[fid,kid,nearest]", "metric=fid", "num_images=5", "device=cpu", "guidance=unguided",
    ],
    "compare": ["cache=true", "force=true", "protocol.labels=random", "protocol.seed=3"],
    "statistics": ["batch_size=2", "device=cpu", "images=one.png.d", "split=test"],
    "rosetta": ["batch_size=2", "name=mine", "device=cpu"],
    "reproduce": ["labels=random", "rows=ddpm", "rows=[dd*]"],
    "convert": ["dtype=float16", "out=deep/er.safetensors", "out=a=b.safetensors", "family=openai"],
}  # fmt: skip


def furnish(folder: Path, openai: tuple[bytes, dict[str, Any]]) -> None:
    """The files that the lines name."""
    import os
    import zipfile

    import numpy as np
    from PIL import Image

    for name in ("empty", "pictures", "others", "a=b", "with space", "own/sampler", "own/data", "one.png.d"):
        (folder / name).mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (6, 16, 16), np.uint8)
    for index, value in enumerate(values):
        Image.fromarray(value).save(folder / "pictures" / f"{index}.png")
        Image.fromarray(255 - value).save(folder / "others" / f"{index}.png")
    Image.fromarray(values[0]).save(folder / "one.png")
    Image.fromarray(values[0]).save(folder / "one.png.d" / "0.png")
    Image.fromarray(values[1]).save(folder / "one.png.d" / "1.png")
    shipped = (paths.checkpoints() / "digits" / "ddpm.safetensors").read_bytes()
    content: dict[str, str | bytes] = {
        "text.txt": "text\n", "zero": b"", "torn.safetensors": shipped[:5000],
        "text.safetensors": "text", "broken.png": b"\x89PNG\r\n", "torn.npz": b"PK\x03\x04torn",
        "broken.zip": b"PK", "text.parquet": "text", "list.yaml": "[1]\n", "tabs.yaml": "a:\n\t- b\n",
        "evil.pt": b"\x80\x02cos\nsystem\nX\x0b\x00\x00\x00touch pwned\x85R.",
        "openai.pt": openai[0], "openai.yaml": yaml.safe_dump(openai[1]),
        "own_part.py": "class Own:\n    pass\ndef broken():\n    raise RuntimeError('broken')\n",
        "own_syntax.py": "class Own(:\n", "own_raises.py": "raise KeyError('at import')\n",
    }  # fmt: skip
    content |= {f"own/{group}/{name}.yaml": text for name, text in OWN.items() for group in ("sampler", "data")}
    for name, text in content.items():
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    np.savez(folder / "short.npz", values[:1])
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for file in (folder / "pictures").iterdir():
            archive.write(file, file.name)
    os.symlink("loop", folder / "loop")
    os.symlink("nowhere", folder / "dangling")
    os.mkfifo(folder / "fifo.d")
