from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.source.batch import Images
from eval.source.export import exported
from eval.source.stored import open_images


def _batches(labelled=True):
    images = torch.arange(5 * 3 * 4 * 4).remainder(251).byte().view(5, 3, 4, 4)
    labels = torch.arange(5) % 2 if labelled else None
    whole = Images(images, labels)
    return images, iter([whole.rows(0, 2), whole.rows(2, 5)])


@pytest.mark.parametrize("labelled", [True, False])
def test_an_npz_of_openais_evaluator_is_written_during_measuring(tmp_path, labelled):
    images, batches = _batches(labelled)
    path = tmp_path / "deep" / "a.npz"
    seen = []
    for batch in exported(batches, path, 5):
        assert not path.exists()  # whole, or not there
        seen.append(batch.images)
    assert torch.equal(torch.cat(seen), images)
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays.files == ["arr_0", "arr_1"][: 1 + labelled]
        assert arrays["arr_0"].shape == (5, 4, 4, 3)
    back = open_images(path)
    assert torch.equal(back.gather(range(5)), images)
    assert (back.labels is not None) == labelled
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]


def test_a_folder_holds_every_image_and_resumes_after_an_interruption(tmp_path):
    images, batches = _batches()
    next(exported(batches, tmp_path / "a", 5))
    assert len(list((tmp_path / "a").iterdir())) == 2
    for _ in exported(_batches()[1], tmp_path / "a", 5):
        pass
    assert torch.equal(open_images(tmp_path / "a").gather(range(5)), images)


def test_nothing_foreign_is_mixed_in(tmp_path):
    (tmp_path / "000009.png").write_bytes(b"of a larger set")
    with pytest.raises(ValueError, match=r"000009.png is there; name a new folder"):
        next(exported(_batches()[1], tmp_path, 5))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="file is there"):
        next(exported(_batches()[1], tmp_path / "file", 5))
