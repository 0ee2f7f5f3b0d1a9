"""Time and peak of two blocks, for the tests of what is promised.

Times are ratios of the least of alternating rounds, in tests marked ``alone``;
peaks are read in a fresh process each.
"""

import statistics
import sys
import time

import pytest
import torch

from benchmarks.peak import in_fresh_process
from benchmarks.subjects import Case
from benchmarks.timing import least_times

SHAPE = (1, 512, 97, 97)


def peak_test(test):
    """Mark a test that reads peaks: slow, and for Linux."""
    linux = pytest.mark.skipif(
        sys.platform != "linux", reason="reads the peak from /proc"
    )
    return pytest.mark.slow(linux(test))


def both_passes(function, *inputs, parameters=()):
    """Return a task: forward and backward, with slopes of all it is given."""
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    leaves = [*inputs, *(p for p in parameters if p.requires_grad)]

    def task():
        y = function(*inputs)
        torch.autograd.grad(y, leaves, torch.ones_like(y))

    task()
    return task


def ratio(tasks, bound, *, rounds=2, work=1.0):
    """Return the time of the first task in shares of the other's.

    Processors that others use, too, disturb single rounds and whole runs. A
    run therefore estimates twice: from the least times, and from the middle
    of the rounds' own ratios. A disturbance seldom spoils both; a form that
    has become slower moves both. The best of eight runs counts, and one
    within the bound is enough; before another try the test waits a while.
    """
    first, other = tasks
    found = []
    while not found or (len(found) < 16 and min(found) > bound):
        time.sleep(10 if found else 0)
        times = least_times(tasks, rounds=rounds, device="cpu")
        fast, plain = times[first], times[other]
        pairs = zip(fast.rounds, plain.rounds, strict=True)
        found.append(fast.time / plain.time / work)
        found.append(statistics.median(a / b for a, b in pairs) / work)
    print("ratios:", *(f"{one:.3f}" for one in found))
    return min(found)


def time_of_both(blocks, shape, bound, *, rounds=2):
    """Return the first block's time in shares of the other's."""
    torch.manual_seed(0)
    x = torch.randn(shape)
    tasks = {b: both_passes(b, x, parameters=b.parameters()) for b in blocks}
    return ratio(tasks, bound, rounds=rounds)


def peak(key, impl, shape=SHAPE, **options):
    """Return the bytes that a process needs for both passes."""
    case = Case(key, impl, shape, "float32", "both", options)
    return in_fresh_process(case, "cpu", 2)["peak_bytes"]
