"""Batch normalisation over the batch of all processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.system.processes import differentiable_total, rank_and_count


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, but in training on several processes the statistics are those of the whole batch.

    So a batch gives the same on one process and on several. torch's own SyncBatchNorm does it on
    GPUs alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        if not self.training or rank_and_count()[1] == 1:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = differentiable_total(values.new_tensor(float(values[:, 0].numel())))
        mean = differentiable_total(values.sum((0, 2, 3))) / count
        centred = values - mean[:, None, None]
        variance = differentiable_total(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            momentum = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.to(self.running_mean), momentum)
            self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var), momentum)
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)
