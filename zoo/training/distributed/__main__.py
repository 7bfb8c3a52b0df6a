"""A process of a training that the first one of its machine has started."""

from __future__ import annotations

import json
import os

from omegaconf import DictConfig, OmegaConf

from zoo.system.errors import explain, leave
from zoo.training.train import train


def run(cfg: DictConfig) -> None:
    """Takes part in a training; a mistake is one line."""
    try:
        train(cfg)
    except Exception as error:
        line = None if os.environ.get("ZOO_TRACEBACK") == "1" else explain(error, list)
        if line is None:
            raise
        leave("zoo train", line)


if __name__ == "__main__":
    run(OmegaConf.create(json.loads(os.environ["ZOO_TRAINING"])))
