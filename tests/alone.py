"""Time and peak of two blocks, for the tests marked ``alone``.

Times are ratios of the least of alternating rounds; peaks are read in a fresh
process each.
"""

import sys

import pytest
import torch

from benchmarks.peak import in_fresh_process
from benchmarks.subjects import Case
from benchmarks.timing import least_times

SHAPE = (1, 512, 97, 97)
linux = pytest.mark.skipif(
    sys.platform != "linux", reason="reads the peak from /proc"
)


def both_passes(block, x):
    """Return a task: forward and backward, with slopes of x and weights."""
    x = x.clone().requires_grad_()
    leaves = [x, *(p for p in block.parameters() if p.requires_grad)]

    def task():
        y = block(x)
        torch.autograd.grad(y, leaves, torch.ones_like(y))

    task()
    return task


def time_of_both(blocks, shape, bound, *, rounds=2):
    """Return the first's time in shares of the other's.

    Processors that others use, too, disturb a whole run now and then: the
    least of six counts, and one within the bound is enough.
    """
    torch.manual_seed(0)
    x = torch.randn(shape)
    tasks = {block: both_passes(block, x) for block in blocks}
    first, other = tasks
    found = []
    while not found or (len(found) < 6 and min(found) > bound):
        least = least_times(tasks, rounds=rounds, device="cpu")
        found.append(least[first].time / least[other].time)
    print("ratios:", *(f"{one:.3f}" for one in found))
    return min(found)


def peak(key, impl, shape=SHAPE, **options):
    """Return the bytes that a process needs for both passes."""
    case = Case(key, impl, shape, "float32", "both", options)
    return in_fresh_process(case, "cpu", 2)["peak_bytes"]
