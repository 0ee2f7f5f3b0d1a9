"""EMANet: time and memory beside the dense block with the same projections.

Run alone, on two cores, as in ``test_bounds.py``.
"""

import sys

import pytest
import torch
from torch import nn

from attnlib import EMAttention
from attnlib.functional import softmax_attention
from attnlib.memory import allocations
from benchmarks.timing import least_times

pytestmark = pytest.mark.alone
SHAPE = (1, 512, 97, 97)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


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


def both_passes(block, x):
    leaf = x.clone().requires_grad_()
    leaves = [leaf, *(p for p in block.parameters() if p.requires_grad)]

    def task():
        y = block(leaf)
        torch.autograd.grad(y, leaves, torch.ones_like(y))

    task()
    return task


def ratio(fast, other, x, rounds):
    """Return the least of three ratios: cores may be disturbed."""
    tasks = {"fast": both_passes(fast, x), "other": both_passes(other, x)}
    found = []
    for _ in range(3):
        least = least_times(tasks, rounds=rounds, device="cpu")
        found.append(least["fast"].time / least["other"].time)
    print("ratios:", *(f"{r:.3f}" for r in found))
    return min(found)


def picture(shape):
    torch.manual_seed(0)
    return torch.randn(shape).relu()


@pytest.mark.parametrize("through", [False, True])
def test_time_against_the_dense_block(through):
    block = EMAttention(512, differentiate=through)
    bound = 0.2 if through else 0.1
    assert ratio(block, Dense(512), picture(SHAPE), rounds=2) <= bound


def test_time_of_the_folded_form():
    """Without gradient a third of the multiply-adds of forward is saved."""
    x = picture((1, 512, 65, 65))
    plain = EMAttention(512, impl="reference")
    assert ratio(EMAttention(512), plain, x, rounds=10) <= 0.95


@pytest.mark.skipif(sys.platform != "linux", reason="counts on Linux")
@pytest.mark.parametrize("through", [False, True])
def test_peak_against_the_dense_block(through):
    x = picture(SHAPE)
    found = allocations(EMAttention(512, differentiate=through), x)
    dense = allocations(Dense(512), x)
    print(f"{found.peak / dense.peak:.3f} of {dense.peak / 2**20:.0f} MiB")
    assert found.peak <= dense.peak / (8 if through else 10)
    assert found.largest <= x.numel() * x.element_size()
