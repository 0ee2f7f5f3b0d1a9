"""Time of the folded forms of the global context blocks, and growth."""

import math

import pytest
from alone import SHAPE, time_of_both

from attnlib import GlobalContext, NonLocal, SimplifiedNonLocal
from attnlib.cost import closed_form

pytestmark = pytest.mark.alone


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
    assert time_of_both(forms, shape, bound, rounds=15) <= bound


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
