from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from eval import extractor
from eval.extractor.extractor import in_pieces

IMAGES = torch.zeros(5, 1, 2, 2, dtype=torch.uint8)


def test_features_with_nan_or_infinity_name_the_extractor_and_the_images() -> None:
    def network(piece: Tensor) -> dict[str, Tensor]:
        return {"logits": torch.ones(len(piece), 2), "pool": values[: len(piece)]}

    values = torch.ones(5, 3)
    assert in_pieces(IMAGES, 5, network, "toy")["pool"].shape == (5, 3)
    values[1, 2], values[4, 0] = torch.nan, -torch.inf
    with pytest.raises(ValueError, match="toy: NaN or infinite") as refusal:
        in_pieces(IMAGES, 5, network, "toy")
    assert "'pool' of 2 of 5 images of a batch (rows 1, 4): look at these images" in str(
        refusal.value
    )
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "kind",
    ["Inception", "CleanInception", "OpenClip", "DinoV2", "Edm2DinoV2", "Small", "SmallClip"],
)
def test_every_extractor_says_its_name_there(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner: Any = getattr(extractor, kind)
    made = owner.__new__(owner)
    made.__dict__ |= {"name": f"this {kind}", "network": None}
    monkeypatch.setattr(
        f"{owner.__call__.__module__}.in_pieces", lambda images, size, network, name: {"name": name}
    )
    assert made(IMAGES) == {"name": f"this {kind}"}


def test_other_images_are_refused() -> None:
    for wrong in (IMAGES.float(), IMAGES[0], IMAGES.repeat(1, 2, 1, 1)):
        with pytest.raises(ValueError, match="takes uint8 images"):
            in_pieces(wrong, 5, lambda piece: {})
