import torch

from zoo.system.means import Means


def test_means_are_weighted_by_images_and_empty_batches_count_nothing():
    means, more = Means(), Means()
    means.add({"a": torch.tensor(1.0), "b": torch.tensor(5.0)}, 3)
    means.add({"a": torch.tensor(float("nan"))}, 0)
    more.add({"a": torch.tensor(4.0)}, 1)
    means.join(more)
    assert means.of_all_processes() == {"a": 1.75, "b": 5.0}
    means.clear()
    assert means.of_all_processes() == {}
