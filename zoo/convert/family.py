"""The known layouts of weights, and the networks of published configs."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import nn

from zoo.checkpoint.fit import name_list

FAMILIES = ("openai", "compvis", "diffusers")


class Layout(NamedTuple):
    """A way to name weights.

    Attributes:
        family: one of ``FAMILIES``, ``zoo`` for our own, or another's that is not converted.
        what: what has such names.
        signs: patterns that such keys match.
    """

    family: str
    what: str
    signs: tuple[str, ...]


_LAYOUTS = (
    Layout(
        "compvis",
        "a latent-diffusion or Stable Diffusion checkpoint",
        (r"(model\.diffusion_model|model_ema|(first|cond)_stage_model)\.",),
    ),
    Layout(
        "compvis",
        "an autoencoder of latent diffusion",
        (r"(en|de)coder\.(down|up)\.\d+\.(block|attn|upsample|downsample)\.",),
    ),
    Layout("compvis", "the U-Net of the DDPM port", (r"temb\.dense\.", r"(down|up)\.\d+\.block\.")),
    Layout(
        "openai",
        "a U-Net or classifier of improved- or guided-diffusion",
        (r"(input_blocks|middle_block|output_blocks)\.", r"time_embed\."),
    ),
    Layout(
        "diffusers",
        "a component of a diffusers pipeline",
        (r"((en|de)coder\.)?(down_blocks|mid_block|up_blocks)\.", r"time_embedding\.linear_"),
    ),
    Layout(
        "zoo",
        "a model of this zoo, which zoo.load reads",
        (r"(.*\.)?(down|up)\.\d+\.(blocks|attentions|resample)\.", r"(.*\.)?time_embedding\.0\."),
    ),
    Layout("edm", "a network of EDM", (r"(model|ema|net)\.(model\.)?(enc|dec)\.\d+x\d+_",)),
    Layout("score_sde", "a network of score_sde", (r"(module\.)?all_modules\.\d+\.",)),
    Layout(
        "lucidrains", "a U-Net of denoising-diffusion-pytorch", (r".*\b(downs|ups)\.\d+\.\d+\.",)
    ),
    Layout("w86763777", "a U-Net of pytorch-ddpm", (r"(downblocks|middleblocks|upblocks)\.\d+\.",)),
    Layout("dit", "a diffusion transformer", (r"(.*\.)?blocks\.\d+\.adaLN_modulation\.",)),
)


def network(family: str, config: Mapping[str, Any]) -> nn.Module:
    """The network that a reference's own arguments describe, with random weights.

    Under ``torch.device("meta")`` it costs no memory, which is enough to count parameters.

    Args:
        family: ``openai`` (improved- and guided-diffusion's ``script_util`` arguments), ``compvis``
            (a node of a latent-diffusion yaml, or a class's arguments; also the DDPM port's) or
            ``diffusers`` (a component's ``config.json``).
        config: the arguments; others have the reference's defaults.

    Raises:
        ValueError: the family is unknown, or the config asks for what the zoo's networks lack.
    """
    if family not in FAMILIES:
        raise ValueError(f"there is no family '{family}': possible are {', '.join(FAMILIES)}")
    home = importlib.import_module(f"zoo.convert.{family}")
    return home.network(config)


def family_of(keys: Iterable[str]) -> str:
    """The family whose names for weights most of the keys have.

    >>> family_of(["input_blocks.0.0.weight", "time_embed.0.weight"])
    'openai'

    Raises:
        ValueError: they have no layout's names; the message shows some of them.
    """
    return resemblance(keys)[0].family


def resemblance(keys: Iterable[str]) -> tuple[Layout, list[str]]:
    """The layout that most keys have, and the keys that decided.

    Raises:
        ValueError: no key has any layout's names.
    """
    names = list(keys)
    matches = [
        [name for name in names if any(re.match(sign, name) for sign in layout.signs)]
        for layout in _LAYOUTS
    ]
    best = max(range(len(_LAYOUTS)), key=lambda index: len(matches[index]))
    if not matches[best]:
        got = name_list(names) if names else "no keys at all"
        raise ValueError(f"these keys are of no known layout ({', '.join(FAMILIES)}): {got}")
    return _LAYOUTS[best], matches[best]


def known(keys: Iterable[str]) -> bool:
    """Whether the keys have the names of a layout that is converted, or our own."""
    try:
        return family_of(keys) in (*FAMILIES, "zoo")
    except ValueError:
        return False


def expect(keys: Iterable[str], family: str) -> None:
    """Refuses weights of another family.

    Raises:
        ValueError: says which family they resemble, and which keys decided.
    """
    layout, deciding = resemblance(keys)
    if layout.family != family:
        remedy = (
            f"zoo.convert.from_{layout.family}"
            if layout.family in FAMILIES
            else f"possible are {', '.join(FAMILIES)}"
        )
        raise ValueError(
            f"these are not {family}'s weights: they resemble {layout.what} (family "
            f"{layout.family}), decided by {name_list(deciding, 3)}: {remedy}"
        )
