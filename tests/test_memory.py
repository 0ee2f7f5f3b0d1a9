"""Memory as counts: the bytes of lean forms grow as N, of plain forms as N^2.

What a process occupies, and time, are in ``test_bounds.py``.
"""

import pytest
import torch

from attnlib import NonLocal
from attnlib.blocks.non_local import PAIRWISE
from attnlib.cost import count
from attnlib.memory import allocations

LEAN = [
    (pairwise, impl)
    for pairwise in PAIRWISE
    for impl in NonLocal(1, pairwise=pairwise).impls
    if impl not in ("auto", "reference")
]
SIDES = (32, 64)  # N grows by 4, N x N by 16
MAP = 4 * 64**4  # bytes of the larger map


def bytes_of(pairwise, impl):
    """Bytes kept for backward and most bytes alive in both passes, by side."""
    block = NonLocal(16, pairwise=pairwise, impl=impl)
    maps = [torch.randn(1, 16, side, side) for side in SIDES]
    kept = [count(block, x.shape).kept_bytes for x in maps]
    return {"kept": kept, "peak": [allocations(block, x).peak for x in maps]}


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_plain_bytes_grow_as_the_map(pairwise):
    for name, (small, large) in bytes_of(pairwise, "reference").items():
        print(f"{name}: x {large / small:.3f}, {large / MAP:.2f} maps")
        assert large > 12 * small
        assert large >= MAP


@pytest.mark.parametrize(("pairwise", "impl"), LEAN)
def test_lean_bytes_grow_as_n(pairwise, impl):
    """The most bytes alive hold no tensor of N x N."""
    for name, (small, large) in bytes_of(pairwise, impl).items():
        print(f"{name}: x {large / small:.3f}, {large / MAP:.3f} maps")
        assert large < 4.2 * small
        assert large < MAP / 8
