"""Numbers that are not finite: their names, and the error that ends a training on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.system.processes import objects

_STATE = ("state_dict", "optimizer_states", "time_sampler")


class NotFinite(ValueError):
    """NaN or infinity where a training cannot go on, or must not be saved."""

    exit_code = 1  # nothing was wrong with the command


def first_not_finite(value: Any, name: str = "") -> str | None:
    """The dotted name of the first tensor with NaN or infinity within nested containers, or None.

    >>> first_not_finite({"a": [torch.zeros(2), torch.tensor([1.0, torch.nan])]})
    'a.1'
    """
    if isinstance(value, Tensor):
        return None if is_finite(value) else name
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        pairs = enumerate(value)
    names = (first_not_finite(item, f"{name}.{key}" if name else str(key)) for key, item in pairs)
    return next((name for name in names if name is not None), None)


def is_finite(value: Tensor) -> bool:
    """Whether a tensor of any kind holds neither NaN nor infinity."""
    if not (value.is_floating_point() or value.is_complex()):
        return True
    value = getattr(value, "_local_tensor", value)  # of a sharded one, this process's part
    return bool(torch.isfinite(value).all())


def check_state(checkpoint: Mapping[str, Any], trainer: Any) -> None:
    """Refuses a training's state, about to be written, with a tensor that is not finite.

    Every process calls it: a part of the state may lie on one of them alone.

    Raises:
        NotFinite: naming the first such tensor.
    """
    foreign = {  # whose best score may be infinite
        callback.state_key
        for callback in trainer.callbacks
        if type(callback).__module__.startswith("lightning.")
    }
    own = {k: v for k, v in (checkpoint.get("callbacks") or {}).items() if k not in foreign}
    name = first_not_finite({**{key: checkpoint.get(key) for key in _STATE}, "callbacks": own})
    if name := next(filter(None, objects(name)), None):
        raise NotFinite(
            f"the state at step {trainer.global_step} is not written: {name} is not finite; "
            "ckpt_path=last resumes from the one written before"
        )
