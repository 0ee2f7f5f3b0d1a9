"""Time, peak and growth of the lightweight block, beside the dense one.

Times are ratios of the least of alternating rounds; peaks are read in a fresh
process each. These tests run alone, after the others.
"""

import math

import pytest
import torch
from test_bounds import linux, two_threads  # noqa: F401

from attnlib import LightNonLocal, NonLocal
from attnlib.cost import closed_form
from benchmarks.peak import in_fresh_process
from benchmarks.subjects import Case
from benchmarks.timing import least_times

pytestmark = pytest.mark.alone
SHAPE = (1, 512, 97, 97)


def time_of_both(blocks, shape, rounds, bound):
    """Return the first's time in shares of the other's.

    Forward and backward, with slopes of x and of every parameter. Others may
    use the processors, too: the least of up to three runs counts, the last
    the first that keeps the bound.
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
    while len(found) < 3 and (not found or found[-1] > bound):
        least = least_times(tasks, rounds=rounds, device="cpu")
        found.append(least[first].time / least[other].time)
    print("ratios:", *(f"{one:.3f}" for one in found))
    return min(found)


def test_time_of_the_associative_form():
    """At the stage of the claim, 56 x 56."""
    forms = [
        LightNonLocal(24, impl=impl) for impl in ("associative", "reference")
    ]
    assert time_of_both(forms, (2, 24, 56, 56), 8, 0.3) <= 0.3


def test_time_against_the_dense_block():
    light = LightNonLocal(512)
    dense = NonLocal(512, impl="reference", norm=False)
    assert time_of_both([light, dense], SHAPE, 2, 0.15) <= 0.15


@linux
def test_peak_against_the_dense_block():
    peaks = {}
    for key, impl in (("lightnl", "auto"), ("nonlocal", "reference")):
        case = Case(key, impl, SHAPE, "float32", "both")
        peaks[key] = in_fresh_process(case, "cpu", 2)["peak_bytes"]
    found = peaks["lightnl"] / peaks["nonlocal"]
    print(f"{found:.3f} of {peaks['nonlocal'] / 2**20:.0f} MiB")
    assert found <= 1 / 5


@pytest.mark.parametrize("nl_s", [1, 2])
@pytest.mark.parametrize(
    ("impl", "exponent"), [("auto", 1), ("associative", 1), ("reference", 2)]
)
def test_growth_of_the_multiply_adds(impl, exponent, nl_s):
    """From 128 x 128 to 256 x 256."""
    block = LightNonLocal(512, nl_s=nl_s, device="meta")
    small, large = (
        closed_form(block, (1, 512, n, n), impl=impl).macs for n in (128, 256)
    )
    assert abs(math.log(large / small, 4) - exponent) < 0.05
