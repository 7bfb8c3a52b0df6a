"""What somebody may write in the place of a value, a key, a flag or a file."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from zoo import paths

NUMBERS = [
    "-1", "0", "1", "2", "3", "7", "1.5", "0.001", "1000000000000", "2.0", "-0.0", "1e-400",
    "1e400", "1" + "0" * 30, "-1" + "0" * 30, "nan", "inf", "-inf", "9223372036854775808",
    "4294967296", "1_0", "0x10", "007", "1e3", "٣", "½",
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
    "x${seed}y", "${oc.select:nowhere,3}", "${oc.dict.keys:sampler}",
]  # fmt: skip
PATHS = [
    "empty", "pictures", "text.txt", "zero", "torn.safetensors", "text.safetensors", "one.png",
    "broken.png", "/dev/null", "/dev/full", "/dev/zero/x", "../..", "/proc/nowhere", "/", "~",
    "~nobody/x", "pictures/../pictures", "nowhere/deep", "text.txt/below", "a=b", "with space",
    "openai.pt", "evil.pt", "torn.npz", "short.npz", "loop", "dangling", "n" * 300, "fifo.d",
    "digits/ddpm", "digits/autoencoder", "digits/small_clip", "digits/noisy", "digits",
    "archive.zip", "broken.zip", "table.parquet", "text.parquet", "list.yaml", "tabs.yaml", "own",
    "out.jpg", "out.PNG", "out.npz", "new/folder", "new/", ".png", "out.tar.gz",
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
    {"ZOO_CACHE": ""}, {"LOCAL_RANK": "x"}, {"LOCAL_RANK": "1"},
    {"TERM": "dumb"}, {"COLUMNS": "1"}, {"COLUMNS": "x"},
    {"HOME": "/nowhere"}, {"HOME": ""}, {"HYDRA_FULL_ERROR": "1"}, {"NO_COLOR": "1"},
    {"FORCE_COLOR": "1"}, {"TMPDIR": "/nowhere"}, {"CUDA_VISIBLE_DEVICES": "x"},
    {"PYTHONHASHSEED": "7"}, {"SLURM_NTASKS": "2"}, {"WORLD_SIZE": "2"}, {"OMP_NUM_THREADS": "x"},
]  # fmt: skip
STREAMS = ["ascii", "closed stdout", "closed stderr", "full stdout", "broken stdout", "latin-1"]

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
    "execute": '_target_: builtins.exec\n_args_: [\'open("pwned","w")\']\n',
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


def furnish(folder: Path, openai: tuple[bytes, dict[str, Any]]) -> None:
    """The files that the lines name."""
    for name in (
        "empty",
        "pictures",
        "others",
        "a=b",
        "with space",
        "own/sampler",
        "own/data",
        "one.png.d",
    ):
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
        "broken.zip": b"PK", "text.parquet": "text", "list.yaml": "[1]\n",
        "tabs.yaml": "a:\n\t- b\n",
        "evil.pt": b"\x80\x02cos\nsystem\nX\x0b\x00\x00\x00touch pwned\x85R.",
        "openai.pt": openai[0], "openai.yaml": yaml.safe_dump(openai[1]),
        "own_part.py": "class Own:\n    pass\ndef broken():\n    raise RuntimeError('broken')\n",
        "own_syntax.py": "class Own(:\n", "own_raises.py": "raise KeyError('at import')\n",
    }  # fmt: skip
    content |= {
        f"own/{group}/{name}.yaml": text
        for name, text in OWN.items()
        for group in ("sampler", "data")
    }
    for name, text in content.items():
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    np.savez(folder / "short.npz", values[:1])
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for file in (folder / "pictures").iterdir():
            archive.write(file, file.name)
    os.symlink("loop", folder / "loop")
    os.symlink("nowhere", folder / "dangling")
    os.mkfifo(folder / "fifo.d")
