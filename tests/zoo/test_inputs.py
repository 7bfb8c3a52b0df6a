"""Tensors of another kind, format, rank, device or range are refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zoo
from eval.metric import FrechetDistance, NearestImage
from eval.metric.nearest import nearest
from eval.moments.feature_statistics import FeatureStatistics
from eval.source.batch import Images
from zoo.conditioner import ClassLabel, Unconditional
from zoo.data import ImageSet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.first_stage import Identity, KLAutoencoder, VQAutoencoder
from zoo.records import Condition
from zoo.sampler import DDIM
from zoo.schedule import FromBetas


class Half(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return x * self.factor


def pixels(conditioner: Any = None) -> zoo.DDPM:
    diffusion = GaussianDiffusion(FromBetas([0.1] * 20))
    return zoo.DDPM(Half(), diffusion, (3, 8, 8), DDIM(2), conditioner or Unconditional())


SIZES: dict[str, Any] = {"channels": 8, "channel_mult": (1, 1), "num_res_blocks": 1}
KL = KLAutoencoder(3, 2, norm_groups=4, **SIZES)
VQ = VQAutoencoder(3, 2, norm_groups=4, num_codes=8, **SIZES)
IMAGES = torch.rand(2, 3, 8, 8) * 2 - 1
BYTES = ((IMAGES + 1) * 127.5).round().byte()
EXACT = BYTES.float() / 127.5 - 1

TAKES = {
    "bits_per_dim": lambda x: pixels().bits_per_dim(x),
    "bound": lambda x: pixels().bound(x),
    "predict": lambda x: pixels().predict(x, 3.0),
    "Identity.moments": lambda x: Identity().moments(x),
    "Identity.decode": lambda x: Identity().decode(x),
    "KLAutoencoder.moments": KL.moments,
    "KLAutoencoder.decode": lambda x: KL.decode(x[:, :2] if getattr(x, "ndim", 0) == 4 else x),
    "VQAutoencoder.moments": VQ.moments,
    "VQAutoencoder.quantize": VQ.quantize,
    "VQAutoencoder.decode": lambda x: VQ.decode(x[:, :2] if getattr(x, "ndim", 0) == 4 else x),
}
WRONG = {
    "8 bits": BYTES,
    "integers": BYTES.long(),
    "booleans": BYTES > 3,
    "complex": EXACT.to(torch.complex64),
    "one image": EXACT[0],
    "five axes": EXACT[None],
    "an array": np.zeros((2, 3, 8, 8), dtype=np.float32),
    "a list": EXACT.tolist(),
    "nothing": None,
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("takes", TAKES)
def test_what_is_no_float_image_is_refused(takes: str, wrong: str) -> None:
    with pytest.raises(ValueError, match="must be floats") as error:
        TAKES[takes](WRONG[wrong])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("takes", TAKES)
def test_floats_are_taken(takes: str) -> None:
    TAKES[takes](EXACT)


BITS = {
    "float16": (EXACT.half(), "float32 or float64, got float16"),
    "bfloat16": (EXACT.bfloat16(), "float32 or float64, got bfloat16"),
    "8 bits": (BYTES, r"got uint8 \(2, 3, 8, 8\): images.float\(\) / 127.5 - 1"),
    "0 to 255": (BYTES.float(), "in .-1, 1., got values from"),
    "NaN": (EXACT.where(EXACT > 0, torch.nan), "got values from nan to nan"),
    "infinite": (EXACT.where(EXACT > 0, -torch.inf), "from -inf"),
    "a channel less": (EXACT[:, :2], r"floats \(B, 3, 8, 8\).*got float32 \(2, 2, 8, 8\)"),
    "another side": (EXACT[..., :4], r"got float32 \(2, 3, 8, 4\)"),
}


@pytest.mark.parametrize("case", BITS)
def test_likelihoods_are_of_exact_values(case: str) -> None:
    images, message = BITS[case]
    with pytest.raises(ValueError, match=message):
        pixels().bits_per_dim(images)


def test_likelihoods_of_both_exact_formats_agree() -> None:
    single = pixels().bits_per_dim(EXACT)
    double = pixels().bits_per_dim(BYTES.double() / 127.5 - 1)
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="2 images need as many indices, got 3"):
        pixels().bits_per_dim(EXACT, indices=range(3))
    with pytest.raises(ValueError, match="2 images need as many condition, got 1"):
        pixels(ClassLabel(3)).bits_per_dim(EXACT, torch.tensor([1]))


def test_predict_needs_its_device_and_a_time_for_each() -> None:
    module = pixels()
    with pytest.raises(ValueError, match="noisy x are on meta, the model on cpu"):
        module.predict(EXACT.to("meta"), 3.0)
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\), got float32 \(2, 1, 8, 8\)"):
        module.predict(EXACT[:, :1], 3.0)
    for t in (torch.ones(3), torch.ones(2, 1)):
        with pytest.raises(ValueError, match=r"t is a number or \(2,\) like x"):
            module.predict(EXACT, t)
    for t in (-1.0, 21.0, float("nan"), torch.tensor([1.0, 30.0])):
        with pytest.raises(ValueError, match=r"t must lie in \[0, 20\]"):
            module.predict(EXACT, t)
    for good in (3, 3.5, torch.tensor(3), torch.tensor([3]), torch.tensor([3.0, 4.0])):
        assert module.predict(EXACT, good).x0.shape == EXACT.shape


CONDITIONS = {
    "floats": (torch.tensor([0.0, 1.0]), "list of integers, got torch.float32"),
    "booleans": (torch.tensor([True, False]), "list of integers, got torch.bool"),
    "two axes": (torch.tensor([[0], [1]]), r"of shape \(2, 1\)"),
    "too large": (torch.tensor([0, 3]), "0 to 2, got 0 to 3"),
    "negative": ([-1, 0], "0 to 2, got -1 to 0"),
    "captions": (["a cat", "a dog"], "labels 0 to 2, got captions such as 'a cat'"),
    "one text": ("ab", r"condition is one for each image: \['ab'\] \* 2"),
    "mixed": ([0, "a cat"], "list of integers, got list"),
    "dicts": ([{}, {}], "list of integers, got list"),
    "too few": (torch.tensor([0]), "2 images need as many condition, got 1"),
    "too few ready": (Condition(vector=torch.tensor([0])), "as many condition, got 1"),
}


@pytest.mark.parametrize("case", CONDITIONS)
def test_conditions_that_cannot_be_read_are_refused(case: str) -> None:
    condition, message = CONDITIONS[case]
    with pytest.raises(ValueError, match=message) as error:
        pixels(ClassLabel(3)).generate(2, condition=condition)
    assert "\n" not in str(error.value)


def test_labels_of_any_integer_kind_are_taken() -> None:
    module = pixels(ClassLabel(3))
    expected = module.generate(2, condition=[0, 2])
    for kind in (torch.int64, torch.int32, torch.uint8):
        images = module.generate(2, condition=torch.tensor([0, 2]).to(kind))
        assert torch.equal(images, expected)


def test_metrics_take_8_bit_images_and_floating_features() -> None:
    training = ImageSet(BYTES)
    for wrong in (EXACT, BYTES.long(), BYTES[0]):
        with pytest.raises(ValueError, match="images are uint8"):
            NearestImage(training).update({}, Images(wrong))
        with pytest.raises(ValueError, match="images are uint8"):
            nearest(wrong, BYTES)
    with pytest.raises(ValueError, match="training images are uint8"):
        nearest(BYTES, EXACT)
    metric = FrechetDistance(FeatureStatistics(torch.randn(9, 4)), "toy")
    for wrong in (torch.ones(2, 4).long(), np.ones((2, 4))):
        with pytest.raises(ValueError, match="the feature 'pool' must be floats"):
            metric.update({"pool": wrong}, Images(BYTES))
