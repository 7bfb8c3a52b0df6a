"""Converted weights beside the originals: largest difference over largest output, every case.

    python benchmarks/conversion.py

Reads the golden files, which hold what the originals computed (random weights, none zero), and
counts the parameters of every published config on the meta device.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from _golden import TIMES, Case, default_dtype, difference, inputs, kept, read
from _table import write
from torch import Tensor

from zoo.checkpoint.published import published
from zoo.convert import network
from zoo.convert.compvis.autoencoder import load_autoencoder
from zoo.convert.compvis.read import denoiser
from zoo.convert.openai import read as openai
from zoo.convert.openai.classifier import classifier
from zoo.records import Condition


def output(stem: str, name: str, case: Case, dtype: torch.dtype) -> Tensor:
    """What our network computes with a case's weights and inputs."""
    given, t = inputs(case.config, dtype), torch.tensor(TIMES, dtype=dtype)
    config: Any = case.config.get("arguments", case.config.get("params"))
    state, labels = case.state(dtype), case.config.get("labels")
    if "classifier_width" in config:
        return classifier(state, config)(given["x"], t)
    if "ddconfig" in config:
        first = load_autoencoder(config, state)
        return first.moments(given["x"]) if "x" in given else first.decode(given["z"])
    image = given.get("low_res")
    condition = Condition(
        vector=None if labels is None else torch.tensor(labels),
        tokens=given.get("context"),
        image=None if image is None else F.interpolate(image, (16, 16), mode="bilinear"),
    )
    net = openai.denoiser(state, config) if stem == "openai" else denoiser(state, config)
    return net(given["x"], t, condition)


def main() -> None:
    rows: list[dict[str, Any]] = []
    for stem in ("openai", "compvis"):
        for name, case in read(stem).items():
            row: dict[str, Any] = {"family": stem, "case": name}
            for dtype, theirs in ((torch.float64, case.output), (torch.float32, case.output32)):
                with torch.no_grad(), default_dtype(dtype):
                    ours = kept(output(stem, name, case, dtype), case.config["stride"])
                row[str(dtype).removeprefix("torch.")] = difference(ours, theirs)
            rows.append({**row, "parameters": "", "published_parameters": ""})
    for name, found in published().items():
        with torch.device("meta"):
            net = network(found["family"], found["config"])
        count = sum(parameter.numel() for parameter in net.parameters())
        sizes = {"parameters": count, "published_parameters": found["parameters"]}
        empty = {"float64": "", "float32": ""}
        rows.append({"family": found["family"], "case": name, **empty, **sizes})
    write(__file__, rows)


if __name__ == "__main__":
    main()
