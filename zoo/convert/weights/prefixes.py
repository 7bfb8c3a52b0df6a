"""Prefixes that training tools put before the names of weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from zoo.convert.family import known

_WRAPPERS = (  # a name within a name, wherever a part was wrapped
    "_orig_mod.",  # torch.compile
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
    "_forward_module.",  # Lightning Fabric
)
_PARALLEL = "module."  # DistributedDataParallel, DeepSpeed, AveragedModel


def without_wrappers(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The state without the names that wrappers insert, and those that were there.

    They go wherever they stand; ``module.``, which may be a name of its own, where all keys begin
    with it.
    """
    names, prefixes = {key: key for key in state}, []
    for wrapper in _WRAPPERS:
        shorter = {key: name.replace(wrapper, "") for key, name in names.items()}
        if shorter != names and len({*shorter.values()}) == len(names):
            names = shorter
            prefixes.append(wrapper)
    while names and all(name.startswith(_PARALLEL) for name in names.values()):
        names = {key: name.removeprefix(_PARALLEL) for key, name in names.items()}
        prefixes.append(_PARALLEL)
    return {name: state[key] for key, name in names.items()}, prefixes


def without_prefixes(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The state under the network's own names, and the prefixes that were taken off.

    Beside the wrappers' names, any prefix of all keys, such as the attribute of the module that was
    trained (``model.``), goes where the keys are of a known layout without it and of none with it.
    """
    bare, prefixes = without_wrappers(state)
    prefix = _holder(list(bare))
    if not prefix:
        return bare, prefixes
    return {name.removeprefix(prefix): value for name, value in bare.items()}, [*prefixes, prefix]


def _holder(names: list[str]) -> str:
    """The shortest prefix of all names without which, and not with which, their layout is known."""
    prefix = ""
    while names and not known([name.removeprefix(prefix) for name in names]):
        rest = [name.removeprefix(prefix) for name in names]
        first, dot, _ = rest[0].partition(".")
        if not dot or not all(name.startswith(f"{first}.") for name in rest):
            return ""
        prefix += f"{first}."
    return prefix
