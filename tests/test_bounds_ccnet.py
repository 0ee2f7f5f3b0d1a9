"""What criss-cross attention is promised to cost against a dense block.

One run, two threads, forward and backward: both blocks have the same
projections. The dense one keeps its N x N map, as a non-local block does.
"""

import sys

import pytest
import torch

from attnlib import PositionAttention, RecurrentCrissCrossAttention
from attnlib.cost import closed_form
from attnlib.cost.parts import softmax
from benchmarks.peak import in_fresh_process
from benchmarks.subjects import Case
from benchmarks.timing import least_times

pytestmark = pytest.mark.alone
SHAPE = (1, 512, 97, 97)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def both_passes(block, x):
    torch.nn.init.constant_(block.gamma, 0.5)
    leaves = [x, *block.parameters()]

    def task():
        y = block(x)
        torch.autograd.grad(y, leaves, torch.ones_like(y))

    task()
    return task


def test_time_against_the_dense_block():
    torch.manual_seed(0)
    x = torch.randn(SHAPE, requires_grad=True)
    tasks = {
        "cross": both_passes(RecurrentCrissCrossAttention(512), x),
        "dense": both_passes(PositionAttention(512, impl="reference"), x),
    }
    ratios = []
    for _ in range(3):
        least = least_times(tasks, rounds=2, device="cpu")
        ratios.append(least["cross"].time / least["dense"].time)
    print("ratios:", *(f"{found:.3f}" for found in ratios))
    assert min(ratios) <= 0.35


@pytest.mark.skipif(sys.platform != "linux", reason="the peak from /proc")
def test_peak_against_the_dense_block():
    cross = Case(
        "RecurrentCrissCrossAttention", "merged", SHAPE, "float32", "both"
    )
    dense = Case("danet", "reference", SHAPE, "float32", "both")
    peaks = [
        in_fresh_process(case, "cpu", 2)["peak_bytes"]
        for case in (cross, dense)
    ]
    found = peaks[0] / peaks[1]
    print(f"{found:.3f} of {peaks[1] / 2**20:.0f} MiB")
    assert found <= 1 / 5


def exponent(macs):
    """Fit log macs against log N over squares of 32 to 256 pixels a side."""
    sides = torch.tensor([32.0, 64.0, 128.0, 256.0]).double()
    x = 2 * sides.log()
    y = torch.tensor([macs(int(side)) for side in sides]).double().log()
    x, y = x - x.mean(), y - y.mean()
    return ((x @ y) / (x @ x)).item()


def test_growth_with_the_number_of_positions():
    """The attention itself; its projections are linear in both blocks."""
    block = RecurrentCrissCrossAttention(64, device="meta")

    def cross(side):
        macs = closed_form(block, (1, 64, side, side)).macs
        return macs - 2 * side**2 * 64 * (64 + 16)

    def dense(side):
        return softmax(1, side**2, side**2, 8, 64, "reference").macs

    assert abs(exponent(cross) - 1.5) < 1e-6
    assert abs(exponent(dense) - 2.0) < 1e-6
    whole = exponent(lambda side: closed_form(block, (1, 64, side, side)).macs)
    assert 1.2 < whole < 1.5  # projections included
