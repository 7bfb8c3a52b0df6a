"""Nothing is missed, nothing is left over, nothing is bent into shape."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from zoo.convert import keys, network


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.joined = nn.Linear(2, 6)
        self.conv = nn.Conv2d(2, 2, 3)


LAYERS = {"joined": ["a", "b", "c"], "conv": "old.conv"}


def theirs() -> dict[str, Tensor]:
    state = {f"{n}.weight": torch.full((2, 2, 1, 1), float(i)) for i, n in enumerate("abc", 1)}
    state |= {f"{n}.bias": torch.full((2,), float(i)) for i, n in enumerate("abc", 4)}
    return state | {"old.conv.weight": torch.ones(2, 2, 3, 3), "old.conv.bias": torch.ones(2)}


def read(state: dict[str, Tensor]) -> nn.Module:
    module = Pair()
    names = keys.table(module, LAYERS)
    return keys.load_state(module, keys.translate(module, state, names, "file.pt"), "file.pt")


def test_rows_are_joined_in_the_tables_order_and_kernels_of_one_pixel_become_linear() -> None:
    module = read(theirs())
    assert module.joined.weight.tolist() == [[i, i] for i in (1, 1, 2, 2, 3, 3)]
    assert module.joined.bias.tolist() == [4, 4, 5, 5, 6, 6]
    assert not module.training


def test_half_precision_becomes_the_modules_own() -> None:
    module = read({key: value.half() for key, value in theirs().items()})
    assert module.conv.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"b.bias": None}, ["missing 'b.bias'"]),
        ({"d.bias": torch.ones(2)}, ["surplus 'd.bias'"]),
        ({"c.weight": torch.ones(2, 3, 1, 1)}, ["'c.weight' is (2, 3, 1, 1), not (2, 2)"]),
        ({"old.conv.weight": torch.ones(2, 2, 1, 1)}, ["'old.conv.weight' is (2, 2, 1, 1)"]),
        ({"a.weight": None, "x": torch.ones(1)}, ["missing 'a.weight'", "surplus 'x'"]),
    ],
)
def test_what_does_not_fit_is_named_as_in_the_file(change: dict, words: list[str]) -> None:
    state = {key: value for key, value in (theirs() | change).items() if value is not None}
    with pytest.raises(ValueError) as raised:
        read(state)
    said = str(raised.value)
    assert said.startswith("file.pt: ")
    assert "\n" not in said
    assert all(word in said for word in words), said


def test_of_many_keys_five_are_named() -> None:
    state = theirs() | {f"extra.{i}": torch.ones(1) for i in range(9)}
    with pytest.raises(ValueError, match=r"'extra\.4' and 4 more"):
        read(state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"joined.bias": None}, "missing 'joined.bias'"),
        ({"other": torch.ones(1)}, "surplus 'other'"),
        ({"conv.bias": torch.ones(3)}, "'conv.bias' is (3,), not (2,)"),
        ({"conv.bias": torch.ones(2, dtype=torch.int8)}, "'conv.bias' is torch.int8"),
    ],
)
def test_loading_checks_our_own_keys_too(change: dict, words: str) -> None:
    state = {k: v for k, v in (Pair().state_dict() | change).items() if v is not None}
    before = Pair()
    kept = {key: value.clone() for key, value in before.state_dict().items()}
    with pytest.raises(ValueError) as raised:
        keys.load_state(before, state, "ours")
    assert words in str(raised.value)
    assert all(torch.equal(kept[key], value) for key, value in before.state_dict().items())


def test_a_layer_that_a_table_forgets_is_missed() -> None:
    module = Pair()
    names = keys.table(module, {"conv": "old.conv"})
    state = {key: value for key, value in theirs().items() if key.startswith("old")}
    with pytest.raises(ValueError, match=r"missing 'joined\.bias', 'joined\.weight'"):
        keys.load_state(module, keys.translate(module, state, names, "f"), "f")


def test_an_unknown_family_hears_what_exists() -> None:
    with pytest.raises(ValueError, match="openai, compvis, diffusers"):
        network("google", {})
