"""Time, peak and growth of sparse attention, beside its plain form and dense.

Times are ratios of the least of alternating rounds; peaks are read in a fresh
process each. These tests run alone, after the others.
"""

import math

import pytest
import torch
from test_bounds import linux, two_threads  # noqa: F401

from attnlib import NonLocal, NonLocalSparseAttention
from attnlib.cost import closed_form
from benchmarks.peak import in_fresh_process
from benchmarks.subjects import Case
from benchmarks.timing import least_times

pytestmark = pytest.mark.alone
SHAPE = (1, 64, 96, 96)


def time_of_both(blocks, shape, rounds=2):
    """Return the first's time in shares of the other's, best of three runs."""
    torch.manual_seed(0)
    x = torch.randn(shape)

    def task(block):
        leaves = [x.clone().requires_grad_(), *block.parameters()]

        def both():
            y = block(leaves[0])
            torch.autograd.grad(y, leaves, torch.ones_like(y))

        both()
        return both

    tasks = {block: task(block) for block in blocks}
    first, other = tasks
    found = []
    for _ in range(3):
        least = least_times(tasks, rounds=rounds, device="cpu")
        found.append(least[first].time / least[other].time)
    print("ratios:", *(f"{one:.3f}" for one in found))
    return min(found)


def peak(key, impl, shape):
    case = Case(key, impl, shape, "float32", "both")
    return in_fresh_process(case, "cpu", 2)["peak_bytes"]


def test_time_of_the_streamed_form():
    forms = [
        NonLocalSparseAttention(64, impl=impl)
        for impl in ("streamed", "reference")
    ]
    assert time_of_both(forms, SHAPE) <= 0.8


def test_time_against_the_dense_block():
    sparse = NonLocalSparseAttention(64)
    dense = NonLocal(64, impl="reference", norm=False)
    assert time_of_both([sparse, dense], SHAPE) <= 0.8


@linux
def test_peaks():
    streamed, plain = (
        peak("nlsa", impl, SHAPE) for impl in ("streamed", "reference")
    )
    dense = peak("nonlocal", "reference", SHAPE)
    print(f"{streamed / plain:.3f} {streamed / dense:.3f} {dense / 2**20:.0f}")
    assert streamed <= plain / 4
    assert streamed <= dense / 8


def test_growth_of_the_multiply_adds():
    """From 192 x 192 to 384 x 384: 256 chunks and more, 128 buckets."""
    found = {}
    for block in (
        NonLocalSparseAttention(512, device="meta"),
        NonLocal(512, device="meta"),
    ):
        small, large = (
            closed_form(block, (1, 512, n, n), impl="reference").macs
            for n in (192, 384)
        )
        found[type(block)] = math.log(large / small, 4)
    assert abs(found[NonLocalSparseAttention] - 1) < 0.01
    assert abs(found[NonLocal] - 2) < 0.05


def test_bytes_kept():
    """Scores and lists are not kept; the plain form keeps all of them."""
    block = NonLocalSparseAttention(256, device="meta")
    shape = (1, 256, 100, 100)
    streamed, plain = (
        closed_form(block, shape, impl=impl).kept_bytes
        for impl in ("streamed", "reference")
    )
    assert streamed <= plain / 7
