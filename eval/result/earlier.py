"""What values of earlier versions leave unsaid: title, unit, and how they are read and shown."""

from __future__ import annotations

from typing import Any

from eval.result.heading import heading

_DISTANCE, _UNBIASED = {"distance": True}, {"distance": True, "unbiased": True}
_STEMS: dict[str, dict[str, Any]] = {
    "bits_per_dim": {"title": "bits/dim", "unit": "bits"},
    "class_accuracy": {"title": "class accuracy"},
    "clip_fid": {"title": "CLIP-FID", **_DISTANCE},
    "clip_score": {"title": "CLIP score"},
    "clip_score_w25": {"title": "CLIPScore (w = 2.5)"},
    "cmmd": {"title": "CMMD", **_UNBIASED},
    "coverage": {"title": "coverage"},
    "density": {"title": "density"},
    "fid": {"title": "FID", **_DISTANCE},
    "fid_infinity": {"title": "FID∞", **_DISTANCE},
    "images_per_second": {"title": "images/s", "unit": "1/s", "column": "cost"},
    "inception_score": {"title": "Inception Score"},
    "kid": {"title": "KID", **_UNBIASED},
    "lpips": {"title": "LPIPS"},
    "nearest_training_image": {"title": "nearest training image", "column": "section"},
    "precision": {"title": "precision"},
    "psnr": {"title": "PSNR", "unit": "dB"},
    "recall": {"title": "recall"},
    "rfid": {"title": "rFID", **_DISTANCE},
    "sfid": {"title": "sFID", **_DISTANCE},
    "ssim": {"title": "SSIM"},
}
_OF_DINO = {"fid": "FD-DINOv2", "fid_infinity": "FD∞-DINOv2"}  # "FID" is Inception's by name


def completed(values: dict[str, Any]) -> dict[str, Any]:
    """The parsed values of a result, each with what its version did not write.

    >>> old = {"fid_small_360": {"value": 2.0, "extractor": "small", "num_images": 360}}
    >>> completed(old)["fid_small_360"]["title"]
    'FID-360 (small)'
    """
    return {
        name: {**_unsaid(name, value), **value} if _is_earlier(value) else value
        for name, value in values.items()
    }


def _is_earlier(value: Any) -> bool:
    return isinstance(value, dict) and "title" not in value


def _unsaid(name: str, value: dict[str, Any]) -> dict[str, Any]:
    stems = [stem for stem in _STEMS if name == stem or name.startswith(f"{stem}_")]
    if not stems:
        return {}
    stem = max(stems, key=len)
    fields, count = dict(_STEMS[stem]), value.get("num_images")
    title, network = fields["title"], value.get("extractor")
    if not isinstance(network, str):  # a wrong type is named where the record is built
        network = ""
    if network.startswith("dinov2") and stem in _OF_DINO:
        title, network = _OF_DINO[stem], "" if network == "dinov2" else network
    counted = count if name.endswith(f"_{count}") else None
    return {**fields, "title": heading(title, counted, network)}
