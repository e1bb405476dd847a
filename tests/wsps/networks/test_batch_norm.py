"""Statistics of all processes: of one they are those of torch's own batch normalisation."""

import pytest
import torch
from torch import nn

from wsps.networks.batch_norm import SharedBatchNorm


@pytest.mark.parametrize("level", [0.0, 5.3, 10.1, 20.1, 1000.0])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0])
def test_a_process_alone_has_torch_s_own(level: float, spread: float) -> None:
    torch.manual_seed(0)
    images = level + spread * torch.randn(4, 2, 48, 96)
    ours, theirs = SharedBatchNorm(2), nn.BatchNorm2d(2)
    found, wanted = ours(images), theirs(images)
    # A constant channel is nothing but rounding.
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, wanted, atol=0.05, rtol=1e-3)
    torch.testing.assert_close(ours.running_var, theirs.running_var, atol=1e-5, rtol=1e-3)
