import functools

import pytest
import torch
from torch import nn

from zoo.checkpoint.build import build, check_config
from zoo.guidance import Unguided
from zoo.part import config_of
from zoo.sampler import DDIM, grid
from zoo.schedule import Linear

MALICIOUS = [
    "os.system",
    "builtins.eval",
    "builtins.exec",
    "subprocess.Popen",
    "pickle.loads",
    "torch.load",
    "torch.hub.load",
    "torch.nn.modules.module.torch.load",  # passes a prefix test and unpickles
    "torch.nn.modules.module.functools.partial",
    "torch.nn.functional.relu",  # a function, however harmless
    "torch.nn.init.normal_",
    "torch.nn.parallel.data_parallel.torch.load",
    "torch.nn.Linear",  # lives in torch.nn.modules.linear
    "torch.nnx.Linear",
    "zoo.checkpoint.load",
    "zoo.checkpoint.os.system",
    "zoo.part.functools.partial",
    "zoo.training.parts.set_aside",
    "zoo.sampler.grid.torch.load",
    "zoo.sampler.grid._at_most",
    "zoo.sampler.grid.Tensor",
    "zoo.recipe.warmup",
    "zoo.data.source.digits.Digits",  # reads files
    "zoo.callbacks.training_state.TrainingState",  # writes files
    "zoo.logger.csv.MetricsCSV",
    "zoo.__main__.main",
    "zoo.cli.main",
    "zoo.DDPM",  # an alias
    "zooo.models.ddpm.DDPM",
    "eval.extractor.small.Small",  # loads a file
    "hydra.utils.instantiate",
    "DDPM",
    "",
    "zoo..DDPM",
    "zoo.nowhere.Nothing",
    None,
    3,
    ["os.system"],
]


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("target", MALICIOUS, ids=str)
def test_malicious_and_foreign_targets_are_refused(target, partial):
    with pytest.raises(ValueError, match="is refused"):
        build({"_target_": target, "_partial_": partial})


@pytest.mark.parametrize(
    "nest",
    [
        lambda bad: {"_target_": "zoo.sampler.ddim.DDIM", "grid": bad},
        lambda bad: {"a": [1, {"b": bad}]},
        lambda bad: {"_target_": bad},
        lambda bad: {"_target_": "zoo.schedule.linear.Linear", "_args_": [bad]},
    ],
)
def test_nested_targets_are_refused(nest):
    with pytest.raises(ValueError, match="refused"):
        build(nest({"_target_": "os.system", "command": "false"}))


def test_nothing_is_built_before_all_is_checked(monkeypatch):
    def explode(self, *args, **kwargs):
        raise AssertionError("built")

    monkeypatch.setattr(Linear, "__init__", explode)
    with pytest.raises(ValueError, match="refused"):
        build([{"_target_": "zoo.schedule.linear.Linear"}, {"_target_": "os.system"}])


@pytest.mark.parametrize("key", ["_args_", "_recursive_", "_convert_", "_mode_", "__class__"])
def test_directives_other_than_target_and_partial_are_refused(key):
    with pytest.raises(ValueError, match="directive"):
        build({"_target_": "zoo.schedule.linear.Linear", key: "x"})


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "a ${b} c", "${"])
def test_interpolations_are_refused(text):
    for config in (text, [text], {"a": text}, {text: 1}):
        with pytest.raises(ValueError, match=r"interpolation|directive"):
            build(config)


def test_a_grid_function_is_accepted_as_a_partial_only():
    assert build({"_target_": "zoo.sampler.grid.trailing", "_partial_": True}) is grid.trailing
    with pytest.raises(ValueError, match="refused"):
        build({"_target_": "zoo.sampler.grid.trailing", "schedule": None, "num_steps": 3})


def test_what_config_of_writes_is_built_again():
    sampler = DDIM(num_steps=7, grid=grid.leading, eta=0.3)
    again = build(config_of(sampler))
    assert config_of(again) == config_of(sampler)
    assert again.grid is grid.leading


def test_classes_of_torch_nn_are_accepted_at_their_own_address():
    layer = build(
        {"_target_": "torch.nn.modules.linear.Linear", "in_features": 2, "out_features": 3}
    )
    assert isinstance(layer, nn.Linear)
    activation = build({"_target_": "torch.nn.modules.activation.GELU", "_partial_": True})
    assert activation is nn.GELU
    bound = build(
        {
            "_target_": "torch.nn.modules.activation.LeakyReLU",
            "_partial_": True,
            "negative_slope": 0.3,
        }
    )
    assert isinstance(bound, functools.partial)
    assert torch.equal(bound()(torch.tensor(-1.0)), torch.tensor(-0.3))


def test_a_class_elsewhere_is_built_when_its_package_is_trusted():
    config = {"_target_": "collections.OrderedDict", "a": 1}
    with pytest.raises(ValueError, match="not trusted"):
        build(config)
    assert build(config, trust=("collections",)) == {"a": 1}
    with pytest.raises(ValueError, match="of functions, only the grids"):
        build({"_target_": "collections.namedtuple", "_partial_": True}, trust=("collections",))
    with pytest.raises(ValueError, match="not trusted"):
        build({"_target_": "collectionsx.OrderedDict"}, trust=("collections",))


def test_arguments_that_a_class_does_not_take_are_named():
    with pytest.raises(ValueError, match=r"Linear does not take .*'nonsense'"):
        build({"_target_": "zoo.schedule.linear.Linear", "nonsense": 1})


def test_endless_nesting_is_an_error_of_one_line():
    config: list = []
    for _ in range(100_000):
        config = [config]
    with pytest.raises(ValueError, match="nested too deeply"):
        check_config(config)


def test_objects_stand_in_for_what_the_outermost_config_describes():
    config = {"_target_": "zoo.guidance.bounded.Bounded", "guidance": {"_target_": "os.nothing"}}
    with pytest.raises(ValueError, match="is refused"):
        build(config, guidance=Unguided())
    del config["guidance"]
    inner = Unguided()
    assert build(config, bounds=None, guidance=inner).guidance is inner


def test_a_users_own_text_trusts_every_package_and_no_more():
    assert build({"_target_": "collections.OrderedDict", "a": 1}, None) == {"a": 1}
    for target in ("os.system", "zoo.data.source.digits.Digits", "zoo.DDPM"):
        with pytest.raises(ValueError, match="is refused"):
            build({"_target_": target}, None)
