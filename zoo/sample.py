"""``zoo sample``: images from a saved model, as a grid, single files or one array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import entry

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor

_NETWORKS = ("classifier", "weak")  # arguments of a guidance that are given as a file


def main(argv: Sequence[str] | None = None) -> None:
    """The verb."""
    entry.run("sample", "sample", "zoo.sample:sample", argv)


def sample(cfg: DictConfig) -> Path:
    """Draws what ``cfg`` (configs/sample.yaml) describes and writes it to ``cfg.out``.

    Raises:
        ValueError: there is no such checkpoint, or sampler, guidance or condition do not suit it.
    """
    from omegaconf import OmegaConf

    from zoo.checkpoint import load
    from zoo.device import accelerator, autocast, torch_device
    from zoo.progress import sampling

    if cfg.num_images < 1:
        raise ValueError(f"num_images is positive, got {cfg.num_images}")
    trust = list(cfg.trust)
    module = load(checkpoint_file(cfg.checkpoint), trust)
    if not hasattr(module, "generate"):
        raise ValueError(f"{cfg.checkpoint} holds a {type(module).__name__}, which draws no images")
    chosen = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(chosen, dict)
    sampler = exchanged(module.sampler, chosen.get("sampler"), "sampler", trust)
    guidance = exchanged(module.guidance, chosen.get("guidance"), "guidance", trust)
    device = accelerator(cfg.device)
    module.to(torch_device(device))
    size = min(cfg.batch_size, cfg.num_images)
    with (
        autocast(cfg.precision, device),
        sampling(module, cfg.num_images, size, sampler) as watched,
    ):
        images = module.generate(
            cfg.num_images,
            condition=repeated(chosen["condition"], cfg.num_images, module, guidance),
            sampler=watched,
            guidance=guidance,
            seed=cfg.seed,
            batch_size=size,
            negative=repeated(chosen["negative"], cfg.num_images, module, what="negative"),
        )
    path = write(images, Path(cfg.out), cfg.columns)
    print(f"{cfg.num_images} images: {path}")
    return path


def checkpoint_file(name: str) -> Path:
    """A path as it is, or the file of a checkpoint that ships, such as ``digits/ddpm``.

    Raises:
        ValueError: there is neither.
    """
    from zoo.paths import checkpoints

    shipped = checkpoints() / f"{name.removesuffix('.safetensors')}.safetensors"
    for path in (Path(name), shipped):
        if path.is_file():
            return path
    root = checkpoints()
    names = sorted(str(p.relative_to(root).with_suffix("")) for p in root.rglob("*.safetensors"))
    there = f"; those that ship are {', '.join(names)}" if names else ""
    raise ValueError(f"there is no checkpoint {name}{there}")


def exchanged(own: Any, asked: dict[str, Any] | None, group: str, trust: Sequence[str] = ()) -> Any:
    """The part that ``asked`` names, or the model's own with some of its arguments changed.

    A guidance's other network is named by its file, which is loaded as any model's is.

    Raises:
        ValueError: the part has no such argument, or its network's file cannot be loaded.
    """
    from zoo.part import config_of
    from zoo.target import build

    changes = {key: value for key, value in (asked or {}).items() if value is not None}
    if "_target_" in changes:
        return _instantiated(changes, group, trust)
    own_config = config_of(own)
    if unknown := sorted(changes.keys() - own_config.keys()):
        takes = ", ".join(key for key in own_config if key != "_target_") or "nothing"
        raise ValueError(
            f"{group}.{unknown[0]}: the model's own {group} is {type(own).__name__}, which takes "
            f"{takes}; choose another with {group}=NAME"
        )
    return build({**own_config, **changes}, trust) if changes else own


def _instantiated(config: dict[str, Any], where: str, trust: Sequence[str]) -> Any:
    """What a config of the command line describes, with networks loaded from the files it names."""
    from hydra.utils import instantiate

    from zoo.checkpoint import load

    objects: dict[str, Any] = {}
    for key, value in config.items():
        if key in _NETWORKS and value == "???":
            raise ValueError(f"{where}.{key} is missing: give {where}.{key}=FILE of a saved model")
        if key in _NETWORKS and isinstance(value, str):
            objects[key] = load(checkpoint_file(value), trust)
        elif (
            key == "guidance" and isinstance(value, dict) and "_target_" in value
        ):  # one inside another
            objects[key] = _instantiated(value, f"{where}.{key}", trust)
    plain = {key: value for key, value in config.items() if key not in objects}
    try:
        return instantiate(plain, **objects, _convert_="all")
    except Exception as error:  # hydra wraps what a constructor says, together with its arguments
        if objects and isinstance(error.__cause__, ValueError):
            raise error.__cause__ from error
        raise


def repeated(
    condition: Any, num_images: int, module: Any, guidance: Any = None, what: str = "condition"
) -> Any:
    """One condition per image: those given in turn, or None.

    Args:
        condition: labels, captions, one of them, or None.
        num_images: how many.
        module: the model that reads them.
        guidance: which reads labels where the model knows none.
        what: the option's name, for messages.

    Raises:
        ValueError: the model does not know a label.
    """
    import torch

    from zoo.guidance import num_classes

    if condition is None:
        return None
    given = list(condition) if isinstance(condition, list | tuple) else [condition]
    cycled = [given[index % len(given)] for index in range(num_images)]
    if all(isinstance(label, int) for label in given):
        classes = getattr(module.conditioner, "num_classes", None) or num_classes(guidance)
        if classes is None:
            raise ValueError(f"{what}={condition}: this model has no class labels")
        if wrong := [label for label in given if not 0 <= label < classes]:
            raise ValueError(f"{what}={wrong}: labels of this model are 0 to {classes - 1}")
        return torch.tensor(cycled)
    return [str(caption) for caption in cycled]


def write(images: Tensor, out: Path, columns: int | None = None) -> Path:
    """Writes uint8 images (N, C, H, W) as a grid, an ``.npz``, or a folder of PNGs.

    Returns:
        What was written: ``out`` itself.
    """
    from zoo.image_grid import image_grid, save_png

    if out.suffix == ".png":
        return save_png(image_grid(images, columns), out)
    if out.suffix == ".npz":
        import numpy as np

        out.parent.mkdir(parents=True, exist_ok=True)
        np.savez(out, images.permute(0, 2, 3, 1).contiguous().numpy())
        return out
    save_png(image_grid(images, columns), out / "grid.png")
    for index, image in enumerate(images):
        save_png(image, out / "images" / f"{index:06}.png")
    return out


if __name__ == "__main__":
    main()
