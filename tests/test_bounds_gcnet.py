"""Time, peak and growth of the global context blocks, beside the dense one.

Times are ratios of the least of alternating rounds; peaks are read in a fresh
process each. These tests run alone, after the others.
"""

import math

import pytest
import torch
from test_bounds import linux, two_threads  # noqa: F401

from attnlib import GlobalContext, NonLocal, SimplifiedNonLocal
from attnlib.cost import closed_form
from benchmarks.peak import in_fresh_process
from benchmarks.subjects import Case
from benchmarks.timing import least_times

pytestmark = pytest.mark.alone
SHAPE = (1, 512, 97, 97)


def time_of_both(blocks, shape, rounds):
    """Return the first's time in shares of the other's.

    Forward and backward, with slopes of x and of every parameter. Others may
    use the processors, too: the least of three runs counts.
    """
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


@pytest.mark.parametrize(
    ("cls", "options", "shape", "bound"),
    [
        (GlobalContext, {"zero_init": False}, SHAPE, 0.7),
        (GlobalContext, {"zero_init": False}, (2, 64, 64, 64), 0.7),
        (SimplifiedNonLocal, {}, (2, 256, 56, 56), 0.6),
    ],
    ids=["gc 512", "gc 64", "snl 256"],
)
def test_time_of_the_folded_form(cls, options, shape, bound):
    forms = [
        cls(shape[1], impl=impl, **options) for impl in ("folded", "reference")
    ]
    assert time_of_both(forms, shape, rounds=15) <= bound


def test_time_against_the_dense_block():
    context = GlobalContext(512, zero_init=False)
    dense = NonLocal(512, impl="reference", norm=False)
    assert time_of_both([context, dense], SHAPE, rounds=2) <= 0.1


@linux
def test_peak_against_the_dense_block():
    peaks = {}
    for key, impl in (("gcnet", "auto"), ("nonlocal", "reference")):
        case = Case(key, impl, SHAPE, "float32", "both")
        peaks[key] = in_fresh_process(case, "cpu", 2)["peak_bytes"]
    found = peaks["gcnet"] / peaks["nonlocal"]
    print(f"{found:.3f} of {peaks['nonlocal'] / 2**20:.0f} MiB")
    assert found <= 1 / 8


@pytest.mark.parametrize(
    ("block", "exponent"),
    [
        (GlobalContext(512, device="meta"), 1),
        (SimplifiedNonLocal(512, device="meta"), 1),
        (NonLocal(512, device="meta"), 2),
    ],
    ids=["gc", "snl", "dense"],
)
def test_growth_of_the_multiply_adds(block, exponent):
    """From 128 x 128 to 256 x 256."""
    small, large = (
        closed_form(block, (1, 512, n, n), impl="reference").macs
        for n in (128, 256)
    )
    assert abs(math.log(large / small, 4) - exponent) < 0.05
