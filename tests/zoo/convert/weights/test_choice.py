"""Averages beside the last weights, and prefixes of training tools: what is taken, and said."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.convert.weights import choose, read
from zoo.convert.weights.choice import is_averaged

NAMES = ("input_blocks.0.0.weight", "out.2.weight", "time_embed.0.bias")
LAST = {name: torch.full((2, 3), 1.0) for name in NAMES}
EMA = {name: torch.full((2, 3), 2.0) for name in NAMES}
COUNT = torch.tensor(7)

State = dict[str, Tensor]


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def lit_ema(prefix: str = "model.diffusion_model.", mangled: str = "diffusion_model") -> State:
    """Latent diffusion's: names without dots, relative to what is averaged."""
    averages = {
        "model_ema." + (mangled + name).replace(".", ""): value for name, value in EMA.items()
    }
    counters = {"model_ema.decay": torch.tensor(0.99), "model_ema.num_updates": COUNT}
    return under(prefix, LAST) | averages | counters


def averaged_model() -> dict[str, Any]:
    """torch's own, around a network of these names."""
    return {"n_averaged": COUNT, **under("module.", EMA)}


PAIRS: dict[str, tuple[Any, str]] = {  # a checkpoint, and what its averages are called
    "model, ema": ({"model": LAST, "ema": EMA, "step": 3}, "ema"),
    "ema first": ({"ema": EMA, "model": LAST}, "ema"),
    "model, model_ema": ({"model": LAST, "model_ema": EMA}, "model_ema"),
    "state_dict, state_dict_ema": ({"state_dict": LAST, "state_dict_ema": EMA}, "state_dict_ema"),
    "model_state_dict, ema_state_dict": (
        {"model_state_dict": LAST, "ema_state_dict": EMA, "optimizer_state_dict": {"state": {}}},
        "ema_state_dict",
    ),
    "unet, unet_ema": ({"unet": LAST, "unet_ema": EMA}, "unet_ema"),
    "params, params_ema": ({"params": LAST, "params_ema": EMA}, "params_ema"),
    "net, net_ema": ({"net": LAST, "net_ema": EMA}, "net_ema"),
    "model, EMA": ({"model": LAST, "EMA": EMA}, "EMA"),
    "model, ema_model": ({"model": LAST, "ema_model": EMA}, "ema_model"),
    "model, average": ({"model": LAST, "average": averaged_model()}, "average"),
    "model, swa_model": ({"model": LAST, "swa_model": averaged_model()}, "swa_model"),
    "ema.shadow": ({"model": LAST, "ema": {"decay": 0.9, "shadow": EMA}}, "ema.shadow"),
    "ema.module": ({"model": LAST, "ema": {"module": EMA, "updates": 3}}, "ema.module"),
    "lucidrains": (
        {
            "model": LAST,
            "ema": under("online_model.", LAST) | under("ema_model.", EMA) | {"step": COUNT},
        },
        "ema.ema_model",
    ),
    "lucidrains, flat": (
        under("online_model.", LAST) | under("ema_model.", EMA) | {"initted": COUNT},
        "ema_model",
    ),
    "flat model, ema": (under("model.", LAST) | under("ema.", EMA), "ema"),
    "flat net, net_ema": (under("net.", LAST) | under("net_ema.", EMA), "net_ema"),
    "latent diffusion": ({"state_dict": lit_ema()}, "state_dict.model_ema"),
    "latent diffusion, flat": (lit_ema(), "model_ema"),
    "latent diffusion, in parallel": (under("module.", lit_ema()), "model_ema"),
    "latent diffusion's first stage": (lit_ema("", ""), "model_ema"),
    "a list beside": ({"model": LAST, "ema": [*EMA.values()]}, "ema"),
    "diffusers' EMAModel": (
        {"model": LAST, "ema": {"decay": 0.9, "shadow_params": [*EMA.values()]}},
        "ema.shadow_params",
    ),
    "score_sde's": (
        {"model": LAST, "ema": {"decay": 0.9, "num_updates": 3, "shadow_params": [*EMA.values()]}},
        "ema.shadow_params",
    ),
    "ddim's list": ([LAST, {"state": {}}, 3, 500, under("module.", EMA)], "ema"),
    "Lightning's callback": (
        {"state_dict": LAST, "callbacks": {"EMACallback": {"ema_state_dict": EMA}}},
        "callbacks.EMACallback.ema_state_dict",
    ),
    "Lightning's WeightAveraging": (
        {
            "state_dict": under("model.", EMA),
            "current_model_state": under("model.", LAST),
            "averaging_state": {"n_averaged": COUNT},
        },
        "state_dict",
    ),
    "in parallel, averages not": ({"model": under("module.", LAST), "ema": EMA}, "ema"),
    "compiled, averages not": ({"model": under("_orig_mod.", LAST), "ema": EMA}, "ema"),
    "averages of parameters alone": (
        {"model": LAST | {"batches": COUNT}, "ema": EMA}, "ema"
    ),
}  # fmt: skip


def values(state: State) -> set[float]:
    return {float(v.flatten()[0]) for v in state.values() if v.is_floating_point()}


@pytest.mark.parametrize("name", PAIRS)
def test_averages_go_first_and_the_choice_is_said(name: str, tmp_path: Path) -> None:
    content, path = PAIRS[name]
    torch.save(content, tmp_path / "checkpoint.pt")
    for weights in (None, "ema", path):
        taken = read(tmp_path / "checkpoint.pt", weights)
        assert values(taken) == {2.0}
        assert taken.origin["weights"] == f"the averages ({path})"
    last = read(tmp_path / "checkpoint.pt", "raw")
    assert values(last) == {1.0}
    assert last.keys() == taken.keys()
    assert "not the averages" in last.origin["weights"]
    prefix = "model.diffusion_model." if "latent diffusion" in name and "first" not in name else ""
    assert set(under(prefix, LAST)) <= set(taken)


NEITHER: dict[str, Any] = {
    "flat": LAST,
    "state_dict": {"state_dict": LAST, "epoch": 3, "ema_decay": 0.99},
    "model": {"model": LAST, "optimizer": {"state": {0: {"exp_avg": COUNT}}}, "ema": None},
    "model beside a discriminator": {"model": LAST, "discriminator": EMA, "loss_fn": EMA},
    "any name": {"something": LAST},
    "optimizer's averages": {"model": LAST, "optimizer_states": [{"ema": [*EMA.values()]}]},
    "non_ema": {"non_ema": LAST},
    "a metric of a callback": {"state_dict": LAST, "callbacks": {"Best": {"best": COUNT + 0.5}}},
    "an empty list": {"model": LAST, "ema": []},
}


@pytest.mark.parametrize("name", NEITHER)
def test_without_averages_the_only_weights_are_taken(name: str) -> None:
    for weights in (None, "raw"):
        taken = choose(NEITHER[name], weights, "model.pt")
        assert {key: float(value.flatten()[0]) for key, value in taken.items()} == dict.fromkeys(
            NAMES, 1.0
        )
        assert taken.origin == {"weights": "as in the file, which has no averages"}
    with pytest.raises(
        ValueError, match="model.pt: weights=ema, but the checkpoint has no averages"
    ):
        choose(NEITHER[name], "ema", "model.pt")


REFUSED: dict[str, tuple[Any, str | None, str]] = {
    "two rates": (
        {"model": LAST, "ema_0.99": EMA, "ema_0.9999": EMA}, None,
        "several weights could be meant: choose weights=NAME of ema_0.99, ema_0.9999",
    ),
    "two networks": ({"a": LAST, "b": EMA}, None, "choose weights=NAME of a, b"),
    "averages alone": ({"ema": EMA}, "raw", "has averages alone"),
    "an unknown name": ({"model": LAST, "ema": EMA}, "emma", "possible are ema, raw, ema, model"),
    "half of them": (
        {"model": LAST, "ema": {NAMES[0]: EMA[NAMES[0]]}}, None,
        "the averages (ema) lack 'out.2.weight', 'time_embed.0.bias'; weights=raw takes",
    ),
    "a list of others": ({"model": LAST, "ema": [torch.ones(1)]}, None, "a list of 1 tensors"),
    "a list of other shapes": (
        {"model": LAST, "ema": [torch.ones(3, 2)] * 3}, None, "in order and shape"
    ),
    "a list alone": ({"ema": {"shadow_params": [torch.ones(1)]}}, None, "a list without names"),
    "torn": ({**lit_ema(), "model.diffusion_model.more": COUNT / 2}, None, "averages are missing"),
    "nothing": ({"epoch": 1}, None, "no weights found; it holds 'epoch'"),
    "no dict": (3, None, "no weights found; it holds no dict"),
    "on the meta device": ({"a": torch.ones(2, device="meta")}, None, "no numbers"),
    "sparse": ({"a": torch.eye(2).to_sparse()}, None, "dense"),
    "complex": ({"a": torch.ones(2) * 1j}, None, "'a' is torch.complex64"),
    "fp8": ({"a": torch.ones(2).to(torch.float8_e5m2)}, None, "'a' is torch.float8_e5m2"),
    "a view of one number": ({"a": torch.ones(1).expand(2**40)}, None, "more than the file holds"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_asked_in_one_line(name: str) -> None:
    content, weights, words = REFUSED[name]
    with pytest.raises(ValueError) as caught:
        choose(content, weights, "model.pt")
    assert str(caught.value).startswith("model.pt: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_entry_is_chosen_by_its_name() -> None:
    content = {"model": LAST, "ema_0.99": under("module.", EMA), "ema_0.9999": LAST}
    assert values(choose(content, "ema_0.99", "model.pt")) == {2.0}
    assert choose(content, "ema_0.9999", "model.pt").choice == "ema"


PREFIXES: dict[str, tuple[str, str]] = {  # what stands before the names, and what is said of it
    "none": ("", ""),
    "torch.compile": ("_orig_mod.", "_orig_mod."),
    "parallel": ("module.", "module."),
    "an attribute": ("model.", "model."),
    "another attribute": ("diffusion.denoise_fn.", "diffusion.denoise_fn."),
    "parallel, compiled": ("module._orig_mod.", "_orig_mod. module."),
    "compiled, parallel": ("_orig_mod.module.", "_orig_mod. module."),
    "an attribute, compiled": ("model._orig_mod.", "_orig_mod. model."),
    "all": ("module.model._orig_mod.", "_orig_mod. module. model."),
    "twice parallel": ("module.module.", "module."),
    "sharded": ("_fsdp_wrapped_module.", "_fsdp_wrapped_module."),
    "Fabric": ("_forward_module.model.", "_forward_module. model."),
}


@pytest.mark.parametrize("name", PREFIXES)
def test_prefixes_go_and_are_said(name: str) -> None:
    prefix, said = PREFIXES[name]
    for content in (under(prefix, LAST), {"state_dict": under(prefix, LAST)}):
        taken = choose(content, None, "model.pt")
        assert list(taken) == list(NAMES)
        assert taken.origin.get("prefixes", "") == said


def test_wrappers_go_wherever_they_stand() -> None:
    state = {"input_blocks.0._orig_mod.0.weight": LAST[NAMES[0]], "out.2.weight": LAST[NAMES[1]]}
    assert list(choose(state, None, "model.pt")) == list(NAMES[:2])


@pytest.mark.parametrize(
    "keys",
    [
        ("module.input_blocks.0.0.weight", "betas"),  # not all have it
        ("model.diffusion_model.input_blocks.0.0.weight", "model.diffusion_model.out.2.weight"),
        ("text_model.embeddings.token_embedding.weight", "text_model.final_layer_norm.bias"),
        ("encoder.down.0.block.0.conv1.weight", "encoder.conv_in.weight"),
        ("model.enc.8x8_conv.weight", "model.enc.8x8_block0.norm0.weight"),  # EDM's own
    ],
)
def test_names_that_belong_to_the_network_stay(keys: tuple[str, ...]) -> None:
    taken = choose(dict.fromkeys(keys, torch.ones(1)), None, "model.pt")
    assert tuple(taken) == keys
    assert "prefixes" not in taken.origin


def test_what_tools_really_write(tmp_path: Path) -> None:
    """torch's compile and AveragedModel, around a network with OpenAI's names."""

    def network() -> nn.Module:
        net: Any = nn.Module()
        net.input_blocks = nn.ModuleList([nn.Linear(2, 2)])
        net.out = nn.BatchNorm1d(2)  # which counts its batches
        return net

    net = network()
    averaged = torch.optim.swa_utils.AveragedModel(net)
    with torch.no_grad():
        for parameter in averaged.module.parameters():
            parameter.add_(1)
    compiled = torch.compile(network())
    torch.save({"model": net.state_dict(), "ema": averaged.state_dict()}, tmp_path / "pair.pt")
    torch.save(compiled.state_dict(), tmp_path / "compiled.pt")
    torch.save(averaged.state_dict(), tmp_path / "alone.pt")
    expected = averaged.module.state_dict()
    for name in ("pair", "alone"):
        taken = read(tmp_path / f"{name}.pt")
        assert taken.keys() == expected.keys() == net.state_dict().keys()
        assert all(torch.equal(taken[key], value) for key, value in expected.items())
        assert taken.choice == "ema"
    assert read(tmp_path / "compiled.pt").origin["prefixes"] == "_orig_mod."
    assert read(tmp_path / "compiled.pt").keys() == expected.keys()


@pytest.mark.parametrize(
    ("last", "averages"),
    [
        ("model500000.pt", ["ema_0.9999_500000.pt"]),
        ("model500000.pt", ["ema_0.999_500000.pt", "ema_0.9999_500000.pt"]),
        ("model.pt", ["model_ema.pt"]),
        ("model.pt", ["ema.pt"]),
        ("last.ckpt", ["last-ema.ckpt"]),
        ("v1-5-pruned.ckpt", ["v1-5-pruned-emaonly.ckpt"]),
    ],
)
def test_averages_in_a_file_of_their_own(last: str, averages: list[str], tmp_path: Path) -> None:
    torch.save(LAST, tmp_path / last)
    torch.save({}, tmp_path / "ema_0.9999_400000.pt")  # of another step
    assert values(read(tmp_path / last)) == {1.0}
    for name in averages:
        torch.save(EMA, tmp_path / name)
        taken = read(tmp_path / name)
        assert taken.origin["weights"] == f"the averages (of the file {Path(name).stem})"
        with pytest.raises(ValueError, match="weights=raw, but the checkpoint has averages alone"):
            read(tmp_path / name, "raw")
    with pytest.raises(
        ValueError, match=r"beside it has the averages: .* by weights=raw"
    ) as caught:
        read(tmp_path / last)
    assert all(name in str(caught.value) for name in averages)
    assert values(read(tmp_path / last, "raw")) == {1.0}


@pytest.mark.parametrize(
    ("name", "averaged"),
    [
        ("ema", True), ("EMA", True), ("model_ema", True), ("ema_0.9999_250000", True),
        ("emaonly", True), ("modelEma", True), ("EMACallback", True), ("shadow", True),
        ("shadow_params", True), ("averaged_model", True), ("swa_model", True), ("g_ema", True),
        ("schema", False), ("model", False), ("non_ema", False), ("no-ema", False),
        ("nonema", False), ("ematerial", False), ("cinema", False), ("swap", False),
    ],
)  # fmt: skip
def test_names_of_averages(name: str, averaged: bool) -> None:
    assert is_averaged(name) == averaged


def test_what_was_chosen_once_is_not_chosen_again(tmp_path: Path) -> None:
    torch.save(collections.OrderedDict(model=LAST, ema=EMA), tmp_path / "pair.pt")
    taken = read(tmp_path / "pair.pt")
    assert choose(taken, "ema", "again") is taken
    with pytest.raises(ValueError, match=r"these are the averages \(ema\): give weights=raw to"):
        choose(taken, "raw", "again")
