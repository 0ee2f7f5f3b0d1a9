"""Growth of the multiply-adds between positions, dense and interlaced."""

import math

import pytest

from attnlib import InterlacedSparseAttention, NonLocal
from attnlib.cost import closed_form


def pairs(block, side):
    """Return the multiply-adds between positions: all but projections."""
    shape, n = (1, block.in_channels, side, side), side * side
    macs = closed_form(block, shape, impl="reference").macs
    one = closed_form(block, (1, block.in_channels, 1, 1), impl="reference")
    if isinstance(block, NonLocal):
        return macs - n * (one.macs - 2 * block.inter_channels)
    (factor,) = block.down_factors
    cells = math.prod(factor)  # one pixel becomes one window
    widths = block.key_channels + block.value_channels
    c, out = block.in_channels, block.out_channels
    joined = (c + out) * out
    inside = (one.macs - joined - cells * (1 + cells) * widths) // cells
    return macs - n * (joined + inside)


def test_growth_of_the_multiply_adds_between_positions():
    """With P = sqrt N the exponent is 3/2; with P fixed it comes to 2."""
    sides = [64, 256, 1024]

    def exponent(blocks):
        first, last = (pairs(b, s) for b, s in (blocks[0], blocks[-1]))
        return math.log(last / first) / math.log(
            sides[-1] ** 2 / sides[0] ** 2
        )

    def isa(side):
        return InterlacedSparseAttention(
            64, down_factors=((side, side),), device="meta"
        )

    dense = NonLocal(64, device="meta")
    found = {
        "dense": exponent([(dense, s) for s in sides]),
        "root": exponent([(isa(math.isqrt(s)), s) for s in sides]),
        "fixed": exponent([(isa(8), s) for s in sides]),
    }
    print(found)
    assert found["dense"] == pytest.approx(2, abs=1e-9)
    assert found["root"] == pytest.approx(1.5, abs=1e-9)
    assert 1.8 < found["fixed"] < 2
