"""A process of a training that the first one of its machine has started."""

from __future__ import annotations

import json
import os
from functools import partial

from omegaconf import DictConfig, OmegaConf

from zoo.performance.allocator import keep_freed_memory
from zoo.system.errors import explain, leave, out_of_memory
from zoo.training.train import train


def run(cfg: DictConfig) -> None:
    """Takes part in a training; a mistake is one line."""
    try:
        train(cfg)
    except Exception as error:
        if os.environ.get("ZOO_TRACEBACK") == "1":
            raise
        line = out_of_memory(error, partial(OmegaConf.select, cfg)) or explain(error, list)
        if line is None:
            raise
        leave("zoo train", line, getattr(error, "exit_code", 2))


if __name__ == "__main__":
    keep_freed_memory()
    run(OmegaConf.create(json.loads(os.environ["ZOO_TRAINING"])))
