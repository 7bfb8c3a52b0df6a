"""The task of ``zoo ema``: averages of any length out of a run's snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from zoo.averages.file import averages_beside, number_in, record
from zoo.averages.length import PowerFunction, in_words, name_of, numbers
from zoo.averages.power import coefficients, mismatch
from zoo.averages.snapshots import FOLDER, Snapshot, check_training, combine, snapshots
from zoo.checkpoint.file import load, provenance
from zoo.checkpoint.name import average_name
from zoo.checkpoint.published import checkpoint_file
from zoo.command.tables import show
from zoo.models.autoencoder import Autoencoder, batches_of
from zoo.system.files import size_text

_AT_ONCE = 2  # lengths for which the snapshots are read once: 4 copies of the model in float32
_GOOD = 0.05  # a profile farther away than this share of its norm is remarked upon


class Rebuilt(NamedTuple):
    """A length that is to be rebuilt.

    Attributes:
        sigma_rel: the length.
        weights: of each average of each snapshot, in their order.
        mismatch: the distance of the profile to the one that is meant, over the latter's norm.
    """

    sigma_rel: float
    weights: list[float]
    mismatch: float


def rebuild(cfg: DictConfig) -> list[Path]:
    """Writes the averages that ``cfg`` (configs/ema.yaml) asks for, or lists what there is.

    Returns:
        The files, ``model-ema-SIGMA_REL.safetensors`` in the run's folder.

    Raises:
        ValueError: the run has no snapshots, or not those of its own end; a length is impossible,
            or another average has its name. Nothing has been written then.
    """
    model = checkpoint_file(cfg.run)
    facts = provenance(model)
    plain: Any = OmegaConf.to_container(cfg)
    wanted = list(dict.fromkeys(numbers(plain["sigma_rel"])))
    if not wanted:
        show({str(model.parent): _listing(model, facts)})
        return []
    for sigma_rel in wanted:
        PowerFunction(sigma_rel)
    every = _snapshots(model, facts)
    kept = [average for snapshot in every for average in snapshot.averages]
    tracked = [s for s in wanted if _is_tracked(model, facts, s, every)]
    targets = [(float(every[-1].step), s) for s in wanted if s not in tracked]
    for sigma_rel in tracked:
        print(f"{sigma_rel} was tracked in the training, so it is exact: ema={sigma_rel}")
    columns = coefficients(kept, targets)
    distances = mismatch(kept, targets, columns)
    rebuilt = [
        Rebuilt(sigma_rel, columns[:, index].tolist(), float(distances[index]))
        for index, (_, sigma_rel) in enumerate(targets)
    ]
    paths = []
    for first in range(0, len(rebuilt), _AT_ONCE):
        some = rebuilt[first : first + _AT_ONCE]
        paths += _write(model, facts, every, some, list(plain["trust"]))
    return paths


def _write(
    model: Path,
    facts: dict[str, Any],
    every: Sequence[Snapshot],
    rebuilt: Sequence[Rebuilt],
    trust: Sequence[str],
) -> list[Path]:
    module, paths = load(model, trust), []
    combinations = combine(every, [each.weights for each in rebuilt])
    for each, values in zip(rebuilt, combinations, strict=True):
        _set_parameters(module, values, every[-1].path)
        _complete(module, model)
        average = {
            "sigma_rel": each.sigma_rel,
            "snapshots": len(every),
            "mismatch": round(each.mismatch, 6),
        }
        path = model.with_name(average_name(name_of(each.sigma_rel)))
        paths.append(module.save(path, {**facts, "weights": "ema", "average": average}))
        remark = "" if each.mismatch < _GOOD else "; more snapshots, or a length nearer, fit better"
        print(
            f"{path}: {_source(every)}, profile matched within {each.mismatch:.2%}{remark}",
            flush=True,
        )
    return paths


def _source(every: Sequence[Snapshot]) -> str:
    return f"of {len(every)} snapshots to step {every[-1].step}"


@torch.no_grad()
def _set_parameters(module: nn.Module, values: dict[str, Tensor], path: Path) -> None:
    """Puts a combination in place of the trained parameters.

    Raises:
        ValueError: they are not those of the model.
    """
    parameters = dict(module.named_parameters())
    wrong = [k for k, v in values.items() if k not in parameters or parameters[k].shape != v.shape]
    if wrong or not values:
        what = f"'{wrong[0]}'" if wrong else "nothing"
        raise ValueError(f"{path}: has {what}, which is no parameter of the run's model")
    for name, value in values.items():
        parameters[name].copy_(value)


def _complete(module: nn.Module, model: Path) -> None:
    """Measures an autoencoder's latents again, with these weights, as the training did."""
    if not isinstance(module, Autoencoder):
        return
    file = model.with_name("config.yaml")
    if not file.is_file():
        raise ValueError(f"{file} is missing: it says of which images the latents are measured")
    cfg: Any = OmegaConf.load(file)
    if cfg.model.get("normalize_latents", True):
        data = instantiate(cfg.data, _convert_="all")
        data.prepare_data()
        data.setup("fit")
        module.measure_latents(batches_of(data.train))


def _snapshots(model: Path, facts: dict[str, Any]) -> list[Snapshot]:
    """The run's snapshots.

    Raises:
        ValueError: there are none, they are of another training, or they do not reach to the
            weights that were saved.
    """
    folder, training = model.with_name(FOLDER), (record(facts) or {}).get("training")
    every = snapshots(folder)
    if training is None or not every:
        raise ValueError(
            f"{model.parent} has no snapshots of its averages: train with "
            "recipe.ema.sigma_rel=[0.05,0.1], and any length can be made of them"
        )
    check_training(every, training)
    if every[-1].step != facts.get("steps"):
        raise ValueError(
            f"{every[-1].path} is the last snapshot, but {model} is of step {facts.get('steps')}: "
            "the training's last snapshot is missing"
        )
    return every


def _is_tracked(
    model: Path, facts: dict[str, Any], sigma_rel: float, every: Sequence[Snapshot]
) -> bool:
    """Whether an average of that length was saved by the training itself.

    Raises:
        ValueError: one of that name is a fixed decay.
    """
    for average, path in [(record(facts), model), *_records(model)]:
        if average is None or number_in(average) != sigma_rel or "snapshots" in average:
            continue
        if "decay" in average:
            raise ValueError(f"sigma_rel={sigma_rel}: {path} is called so, a fixed decay")
        return sigma_rel in every[-1].sigma_rel
    return False


def _records(model: Path) -> list[tuple[dict[str, Any] | None, Path]]:
    return [(record(provenance(path)), path) for path in averages_beside(model).values()]


def _listing(model: Path, facts: dict[str, Any]) -> dict[str, str]:
    """Every average by its name, and the snapshots, each in a line."""
    lines = {}
    for average, path in [(record(facts), model), *_records(model)]:
        if average is not None:
            rebuilt = (
                f", rebuilt, within {average['mismatch']:.2%}" if "mismatch" in average else ""
            )
            lines[name_of(number_in(average))] = f"{in_words(average)}{rebuilt}: {path.name}"
    every = snapshots(model.with_name(FOLDER))
    if every:
        lengths = ", ".join(map(name_of, every[-1].sigma_rel))
        size = size_text(sum(each.path.stat().st_size for each in every))
        lines["snapshots"] = (
            f"{len(every)} to step {every[-1].step} of sigma_rel {lengths}, {size}: "
            f"sigma_rel=... makes any other length"
        )
    else:
        lines["snapshots"] = "none: recipe.ema.sigma_rel=[0.05,0.1] takes them in a training"
    return lines
