"""Latent diffusion's averages (LitEma), whose names are those of the weights without the dots."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from zoo.checkpoint.fit import name_list

_EMA, _LOSS = "model_ema.", "loss."
_COUNTERS = {f"{_EMA}decay", f"{_EMA}num_updates"}


def has_averages(content: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has averages under mangled names."""
    return any(_is_average(key) for key in content)


def last(content: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the averages."""
    return {key: value for key, value in content.items() if not key.startswith(_EMA)}


def averages(content: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with averages in place of the weights that they are averages of.

    A latent diffusion averages what is below ``model.``, an autoencoder all of itself; the losses'
    own networks, which a model does not need, may be among them.

    Raises:
        ValueError: a weight has no average though others do, or an average has no weight.
    """
    state, names = last(content), {key for key in content if _is_average(key)}
    prefix = "model." if any(key.startswith("model.") for key in state) else ""
    missing = []
    for key in state:
        if key.startswith(prefix) and not key.startswith(_LOSS):
            name = _EMA + key.removeprefix(prefix).replace(".", "")
            if name in names:
                state[key] = content[name]
                names.discard(name)
            else:
                missing.append(name)
    surplus = [name for name in names if not name.startswith(f"{_EMA}loss")]
    if missing or surplus:
        problems = [f"missing {name_list(missing)}"] if missing else []
        problems += [f"surplus {name_list(surplus)}"] if surplus else []
        raise ValueError(f"averages are {'; '.join(problems)}")
    return state


def _is_average(key: str) -> bool:
    return key.startswith(_EMA) and key not in _COUNTERS and "." not in key.removeprefix(_EMA)
