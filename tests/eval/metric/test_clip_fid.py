from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from eval.extractor import OpenClip
from eval.metric import ClipFrechetDistance, FrechetDistance
from eval.moments.feature_statistics import FeatureStatistics
from eval.source.batch import Images

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 224, "layers": 1, "width": 32, "head_width": 16, "patch_size": 32},
    "text_cfg": {
        "context_length": 8,
        "vocab_size": 49408,
        "width": 16,
        "heads": 1,
        "layers": 1,
    },
}
MODEL = "zoo-test-clip-fid"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small CLIP at clean-fid's 224 pixels; open_clip knows it from now on."""
    import open_clip
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip_fid")
    (folder / f"{MODEL}.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / f"{MODEL}.json")
    torch.manual_seed(0)
    save_file(open_clip.create_model(MODEL).state_dict(), folder / "random.safetensors")
    return folder / "random.safetensors"


@pytest.fixture
def extractor(weights: Path, monkeypatch: pytest.MonkeyPatch) -> OpenClip:
    """As of OpenAI's weights: their preprocessing, their activation."""
    from open_clip import pretrained as table

    entry = {"openai": {**table.get_pretrained_cfg("ViT-B-32", "openai")}}
    monkeypatch.setitem(table._PRETRAINED, MODEL, entry)
    return OpenClip(MODEL, "openai", path=weights)


def images(seed: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(20, 3, 6, 6, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return (255 * fine).round().byte()


def by_clean_fid(images: torch.Tensor, folder: Path, network: Any, monkeypatch: Any) -> Any:
    """clean-fid's own path from PNGs to features, with this network in place of OpenAI's."""
    from PIL import Image

    monkeypatch.setitem(sys.modules, "clip", SimpleNamespace(load=lambda *a, **k: (network, None)))
    monkeypatch.delitem(sys.modules, "cleanfid.clip_features", raising=False)
    from cleanfid.clip_features import CLIP_fx, img_preprocess_clip
    from cleanfid.fid import get_folder_features

    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number:02}.png")
    return get_folder_features(
        str(folder),
        CLIP_fx("ViT-B/32", device="cpu"),
        num_workers=0,
        device=torch.device("cpu"),
        mode="clean",
        custom_fn_resize=img_preprocess_clip,
        verbose=False,
    )


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")  # clean-fid's sqrtm
@pytest.mark.parametrize(("height", "width"), [(40, 40), (300, 240)])
def test_equals_clean_fid(
    height: int, width: int, extractor: OpenClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cleanfid.fid import fid_from_feats

    sets = [images(0, height, width), images(1, height, width) // 2]
    theirs = [
        by_clean_fid(some, tmp_path / str(i), extractor.network, monkeypatch)
        for i, some in enumerate(sets)
    ]
    ours = [extractor(some)["pool"] for some in sets]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, torch.from_numpy(other).float(), rtol=1e-5, atol=1e-6)
    metric = ClipFrechetDistance(FeatureStatistics(ours[1]), extractor.name)
    metric.update({"pool": ours[0]}, Images(sets[0]))
    assert metric.compute() == {
        f"clip_fid_{extractor.name}": pytest.approx(fid_from_feats(*theirs), rel=1e-4)
    }


def test_suits_networks_of_captions_alone() -> None:
    clip, inception = SimpleNamespace(text=None), SimpleNamespace(provides=("pool", "logits"))
    assert ClipFrechetDistance.suits(clip, None) and not FrechetDistance.suits(clip, None)
    assert not ClipFrechetDistance.suits(inception, None)
