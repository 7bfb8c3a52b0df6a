from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from eval.images import from_dataset, stored


def _picture(path, size=(8, 8), value=7, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * 3).save(path)


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    for value in (3, 1, 2):
        _picture(tmp_path / "deep" / f"{value}.png", value=value)
    (tmp_path / "notes.txt").write_text("no image")
    found = stored(tmp_path, (1, 8, 8))
    assert found.images.shape == (3, 1, 8, 8)
    assert found.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert stored(tmp_path, (3, 8, 8)).images.shape == (3, 3, 8, 8)


def test_an_npz_of_the_evaluators_layout_is_read(tmp_path):
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    np.savez(tmp_path / "a.npz", images, np.array([5, 6]))
    found = stored(tmp_path / "a.npz", (3, 4, 4))
    assert torch.equal(found.images, torch.from_numpy(images).permute(0, 3, 1, 2))
    assert found.labels.tolist() == [5, 6]
    (batch,) = from_dataset(found)
    assert batch.labels.tolist() == [5, 6]


def test_bad_sources_are_named(tmp_path):
    with pytest.raises(ValueError, match="expected a folder of images or an .npz"):
        stored(tmp_path / "absent", (1, 8, 8))
    with pytest.raises(ValueError, match="no images in this folder"):
        stored(tmp_path, (1, 8, 8))
    _picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"images are \(1, 8, 8\), the data are \(1, 16, 16\)"):
        stored(tmp_path, (1, 16, 16))
    _picture(tmp_path / "b.png", size=(9, 8))
    with pytest.raises(ValueError, match=r"b.png is 9x8, but .*a.png is 8x8"):
        stored(tmp_path, (1, 8, 8))
    (tmp_path / "b.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"b.png: not a readable image"):
        stored(tmp_path, (1, 8, 8))
    np.savez(tmp_path / "c.npz", wrong=np.zeros(3))
    with pytest.raises(ValueError, match="no array 'arr_0'; it has wrong"):
        stored(tmp_path / "c.npz", (1, 8, 8))
    np.savez(tmp_path / "d.npz", np.zeros((2, 8, 8, 1)))
    with pytest.raises(ValueError, match="'arr_0' is float64"):
        stored(tmp_path / "d.npz", (1, 8, 8))
