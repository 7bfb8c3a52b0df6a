"""The bare network of a published config, in the words of the repository it comes from."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

FAMILIES = ("openai", "compvis", "diffusers")


def network(family: str, config: Mapping[str, Any]) -> nn.Module:
    """The network that a reference's own arguments describe, with weights drawn anew.

    Under ``torch.device("meta")`` it costs no memory, which is enough to count parameters.

    Args:
        family: ``openai`` (improved- and guided-diffusion's ``script_util`` arguments), ``compvis``
            (a node of a latent-diffusion yaml, or a class's arguments; also the DDPM port's) or
            ``diffusers`` (a component's ``config.json``).
        config: the arguments; what is left out has the reference's default.

    Raises:
        ValueError: the family is unknown, or the config asks for what the zoo's networks lack.
    """
    if family not in FAMILIES:
        raise ValueError(f"there is no family '{family}': possible are {', '.join(FAMILIES)}")
    home = importlib.import_module(f"zoo.convert.{family}")
    return home.network(config)
