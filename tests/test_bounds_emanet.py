"""EMANet: time of the folded form; bytes beside a block that shares v."""

import pytest
import torch
from alone import SHAPE, time_of_both
from torch import nn

from attnlib import EMAttention
from attnlib.functional import softmax_attention
from attnlib.memory import allocations


class Dense(nn.Module):
    """Non-local: every position attends to every one, same projections."""

    def __init__(self, channels):
        super().__init__()
        self.project = nn.Conv2d(channels, channels, 1)
        self.out = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        v = self.project(x).flatten(2).mT  # (B, N, C)
        y = softmax_attention(v, v, v, scale=1.0, impl="reference")
        y = self.norm(self.out(y.mT.relu().view(x.shape)))
        return (x + y).relu()


def picture(shape):
    torch.manual_seed(0)
    return torch.randn(shape).relu()


@pytest.mark.alone
def test_time_of_the_folded_form():
    """Without gradient a third of the multiply-adds of forward is saved."""
    forms = [EMAttention(512, impl=i) for i in ("folded", "reference")]
    shape = (1, 512, 65, 65)
    assert time_of_both(forms, shape, 0.95, rounds=10) <= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("through", [False, True])
def test_peak_against_the_dense_block(through):
    x = picture(SHAPE)
    found = allocations(EMAttention(512, differentiate=through), x)
    dense = allocations(Dense(512), x)
    print(f"{found.peak / dense.peak:.3f} of {dense.peak / 2**20:.0f} MiB")
    assert found.peak <= dense.peak / (7 if through else 8)
    assert found.largest <= x.numel() * x.element_size()
