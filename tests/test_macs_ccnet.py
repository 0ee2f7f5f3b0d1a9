"""Growth of the multiply-adds of criss-cross and of dense attention."""

import torch

from attnlib import RecurrentCrissCrossAttention
from attnlib.cost import closed_form
from attnlib.cost.parts import softmax


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
