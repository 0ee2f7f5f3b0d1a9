"""Blocks that cost less, beside the dense block with the same projections.

One run at 97 x 97 with 512 channels, forward and backward, two threads: the
dense blocks keep their N x N map.
"""

import functools
from typing import NamedTuple

import pytest
import torch
from alone import SHAPE, both_passes, peak, peak_test

from attnlib import create_block
from benchmarks.timing import least_times


class Bound(NamedTuple):
    """A block, and its shares of the dense block's time and peak."""

    key: str
    options: dict
    impl: str  # that auto takes
    time: float
    peak: float
    dense: str = "nonlocal"


BOUNDS = [
    # Values of criss-cross attention are as wide as x, and so DANet's.
    Bound("RecurrentCrissCrossAttention", {}, "merged", 0.35, 1 / 5, "danet"),
    Bound("annnet", {"fuse": False}, "anchored", 0.25, 1 / 8),
    Bound("annnet", {}, "anchored", 0.25, 1 / 7),
    Bound("gcnet", {}, "auto", 0.1, 1 / 8),
    Bound("emanet", {}, "auto", 0.1, 1 / 7),
    Bound("emanet", {"differentiate": True}, "auto", 0.2, 1 / 4),
    Bound("isanet", {}, "auto", 1.0, 0.6),
    Bound("lightnl", {}, "auto", 0.15, 1 / 5),
    Bound("lightnl", {"nl_s": 2}, "auto", 0.15, 1 / 5),
]
DENSE = {"nonlocal": {"norm": False}, "danet": {}}


def name(bound):
    return " ".join([bound.key, *map(str, bound.options.values())])


each = pytest.mark.parametrize("bound", BOUNDS, ids=name)


@functools.cache
def shares():
    """Return the least share of time of each block, of at most three runs."""
    torch.manual_seed(0)
    x = torch.randn(SHAPE)

    def task(block):
        return both_passes(block, x, parameters=block.parameters())

    tasks = {
        key: task(create_block(key, 512, impl="reference", **more))
        for key, more in DENSE.items()
    }
    for bound in BOUNDS:
        block = create_block(bound.key, 512, **bound.options)
        tasks[name(bound)] = task(block)
    found = {name(bound): 1.0 for bound in BOUNDS}
    for _ in range(3):
        least = least_times(tasks, rounds=2, device="cpu")
        for bound in BOUNDS:
            key = name(bound)
            share = least[key].time / least[bound.dense].time
            found[key] = min(found[key], share)
        if all(found[name(bound)] <= bound.time for bound in BOUNDS):
            break
    return found


@functools.cache
def dense_peak(key):
    return peak(key, "reference", **DENSE[key])


@pytest.mark.alone
@each
def test_time(bound):
    found = shares()[name(bound)]
    print(f"{found:.3f} of the dense block's time")
    assert found <= bound.time


@peak_test
@each
def test_peak(bound):
    found = peak(bound.key, bound.impl, **bound.options)
    dense = dense_peak(bound.dense)
    print(f"{found / dense:.3f} of {dense / 2**20:.0f} MiB")
    assert found / dense <= bound.peak
