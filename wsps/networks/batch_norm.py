"""Batch normalisation over the images of all processes that train together.

Source: Ioffe and Szegedy, Batch Normalization, ICML 2015.
"""

from typing import Any

import torch
from torch import Tensor, nn

from wsps.processes import count_processes, mean_over_processes


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose statistics are those of all processes' images.

    PyTorch's own `SyncBatchNorm` is for GPUs alone. In evaluation it is an ordinary one, and so are
    its names and shapes. All processes have images of one number and size.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return the (B, C, H, W) features, normalised."""
        if not self.training:
            return super().forward(images)
        features = images.float()
        mean: Tensor = _Mean.apply(features.mean(dim=(0, 2, 3)))
        centred = features - mean[:, None, None]
        # Of a channel that is nearly constant the mean square less the squared mean is rounding,
        # which may be below zero.
        variance: Tensor = _Mean.apply(centred.square().mean(dim=(0, 2, 3)))
        self._count(mean.detach(), variance.detach(), count_processes() * features[:, 0].numel())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shifted: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return shifted.to(images.dtype)

    def _count(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Let the running statistics follow, as PyTorch does: the variance is that of a sample."""
        momentum = 0.1 if self.momentum is None else self.momentum
        self.get_buffer("num_batches_tracked").add_(1)
        self.get_buffer("running_mean").lerp_(mean, momentum)
        self.get_buffer("running_var").lerp_(variance * values / max(1, values - 1), momentum)


class _Mean(torch.autograd.Function):
    """The mean of a tensor over the processes; the gradient of each flows to all."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return mean_over_processes(values)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        # Each process's loss is its own, and these are averaged: so are what they ask for here.
        return mean_over_processes(gradients[0])


def share_statistics(*networks: nn.Module) -> None:
    """Let batch normalisations, but for frozen ones, have the statistics of all processes.

    Where there is one process alone nothing changes.
    """
    if count_processes() == 1:
        return
    for network in networks:
        for name, child in network.named_children():
            # A subclass is one whose statistics are frozen, and so are those of a frozen backbone.
            if type(child) is not nn.BatchNorm2d or not child.weight.requires_grad:
                share_statistics(child)
                continue
            shared = SharedBatchNorm(child.num_features, eps=child.eps, momentum=child.momentum)
            shared.load_state_dict(child.state_dict())
            setattr(network, name, shared.to(child.weight.device))
