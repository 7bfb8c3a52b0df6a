import pytest
import torch

from zoo.system.picture import grid_size, image_grid


def test_every_image_stands_in_its_place_and_gaps_are_white():
    images = torch.randint(0, 255, (5, 3, 4, 6), dtype=torch.uint8)
    grid = image_grid(images, columns=3, smallest=1)
    assert grid.shape == (3, 2 * 5 + 1, 3 * 7 + 1)
    for index, image in enumerate(images):
        top, left = index // 3 * 5 + 1, index % 3 * 7 + 1
        assert torch.equal(grid[:, top : top + 4, left : left + 6], image)
    assert (grid[:, ::5] == 255).all()
    assert (grid[:, :, ::7] == 255).all()


def test_small_images_are_enlarged_by_a_whole_factor():
    grid = image_grid(torch.zeros(4, 1, 16, 16, dtype=torch.uint8), smallest=100)
    assert grid.shape == (3, 3 * 35, 3 * 35)


@pytest.mark.parametrize(("count", "columns"), [(1, None), (5, None), (5, 1), (5, 9)])
@pytest.mark.parametrize("size", [(4, 6), (16, 16), (600, 8)])
def test_the_size_of_a_grid_is_known_before_it_is_drawn(count, columns, size):
    grid = image_grid(torch.zeros(count, 1, *size, dtype=torch.uint8), columns)
    assert grid_size(count, *size, columns) == grid.shape[1:]


def test_no_images_no_grid():
    with pytest.raises(ValueError, match="at least one image"):
        image_grid(torch.zeros(0, 1, 16, 16, dtype=torch.uint8))


def test_images_of_a_transparent_grid_touch_its_edges():
    images = torch.randint(0, 255, (3, 1, 4, 6), dtype=torch.uint8)
    grid = image_grid(images, columns=2, smallest=0, gap=2, transparent=True)
    assert grid.shape == (4, 2 * 4 + 2, 2 * 6 + 2)
    assert torch.equal(grid[:3, :4, 8:], images[1].expand(3, 4, 6))
    opaque = torch.zeros(10, 14, dtype=torch.bool)
    opaque[:4, :6] = opaque[:4, 8:] = opaque[6:, :6] = True
    assert torch.equal(grid[3] == 255, opaque) and not grid[3, ~opaque].any()
    nested = image_grid(torch.stack([grid, grid]), 1, smallest=0, gap=1, transparent=True)
    assert torch.equal(nested[:, 11:], grid)  # what is transparent in an image stays so
