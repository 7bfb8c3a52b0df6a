"""The files of open_clip's weights, in the zoo's cache and others'."""

from __future__ import annotations

from pathlib import Path

from eval.extractor.weights import KNOWN_WEIGHTS, UNKNOWN, find, own
from zoo import paths


def check_names(model: str, pretrained: str, has_file: bool) -> None:
    """Refuses names that open_clip does not know; with a file only the model's name matters.

    Raises:
        ValueError: a name is unknown; the message says what there is.
    """
    import open_clip

    if open_clip.get_model_config(model) is None:
        from zoo.system.errors import suggestion

        raise ValueError(
            f"open_clip has no model '{model}'{suggestion(model, open_clip.list_models())}"
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not has_file and pretrained not in tags:
        raise ValueError(
            f"open_clip has no weights '{pretrained}' of {model}; it has {', '.join(tags)}"
        )


def clip_weights(
    model: str, pretrained: str, path: str | Path | None, sha256: str | None, download: bool
) -> Path:
    """The weights' file: published ones are checked by sha256, others are where open_clip looks.

    Raises:
        ValueError: it is missing, torn or another file.
    """
    name = f"{model}/{pretrained}"
    if name in KNOWN_WEIGHTS:
        return find(name, path, sha256=sha256, download=download)
    file = Path(path).expanduser() if path is not None else _in_caches(model, pretrained, download)
    if file is None or not file.is_file():
        target = paths.cache() / f"{model}-{pretrained}.safetensors"
        raise ValueError(
            f"the weights '{name}' are missing ({path or 'no path was given'}): put "
            f"{_published(model, pretrained)} (sha256 {UNKNOWN}) at {target}, or name it by "
            "extractor.NAME.path=FILE; extractor.NAME.download=true lets open_clip fetch it"
        )
    return own(file, sha256)


def _in_caches(model: str, pretrained: str, download: bool) -> Path | None:
    """The weights' file in the zoo's cache or Hugging Face's; perhaps fetched by open_clip."""
    import open_clip
    from huggingface_hub import try_to_load_from_cache

    for ending in ("safetensors", "pt", "pth", "bin"):
        if (file := paths.cache() / f"{model}-{pretrained}.{ending}").is_file():
            return file
    settings = open_clip.get_pretrained_cfg(model, pretrained) or {}
    repository, _, file_name = settings.get("hf_hub", "").rpartition("/")
    names = [file_name] if file_name else ["open_clip_model.safetensors"]
    for cached in (try_to_load_from_cache(repository, name) for name in names if repository):
        if isinstance(cached, str):
            return Path(cached)
    if not download:
        return None
    try:
        return Path(open_clip.download_pretrained(settings))
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{model}/{pretrained} could not be fetched: {error}") from error


def _published(model: str, pretrained: str) -> str:
    """Where open_clip's own table says that the weights are published."""
    import open_clip

    settings = open_clip.get_pretrained_cfg(model, pretrained) or {}
    places = [settings.get("url"), settings.get("hf_hub") and f"hf.co/{settings['hf_hub']}"]
    return " or ".join(place for place in places if place) or "their file"
