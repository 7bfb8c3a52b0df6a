"""Every data config composes, and says in plain numbers what other configs read from it."""

from __future__ import annotations

import inspect

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from zoo import paths
from zoo.data import ImageData

FILES = sorted((paths.configs() / "data").glob("*.yaml"))
OPEN = ("train_file", "folder", "path", "train_files")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_config_builds_its_data(file):
    config = OmegaConf.create({"seed": 5, "data": OmegaConf.load(file)})
    for name in OPEN:
        if OmegaConf.is_missing(config.data, name):
            config.data[name] = "somewhere"
    data = instantiate(config.data)
    assert isinstance(data, ImageData)
    assert data.name == file.stem
    assert data.seed == 5
    assert data.batch_size == 128
    assert config.data.num_classes is None or isinstance(config.data.num_classes, int)
    assert data.shape == (config.data.channels, config.data.image_size, config.data.image_size)


def test_defaults_are_those_of_the_code():
    for file in FILES:
        config = OmegaConf.to_container(OmegaConf.load(file))
        parameters = {}
        for base in reversed(get_class(config["_target_"]).__mro__):
            parameters.update(inspect.signature(base.__init__).parameters)
        for key, value in config.items():
            free = ["_target_", "name", "image_size", "seed", "condition", *OPEN]
            if config["_target_"] == "zoo.data.Folder" and config["name"] != "folder":
                free += ["num_classes", "test_fraction", "crop_from"]  # facts of one data set
            if key not in free and parameters[key].default is not inspect.Parameter.empty:
                assert value == parameters[key].default, f"{file.name}: {key}"


@pytest.mark.parametrize("options", [{"channels": 2}, {"condition": "text"}, {"batch_size": 0}])
def test_refuses_impossible_arguments(options):
    from zoo.data import Digits

    with pytest.raises(ValueError, match=str(next(iter(options)))):
        Digits(**options)
