"""Time of the lightweight block's cheaper order of products, and growth."""

import math

import pytest
from alone import time_of_both

from attnlib import LightNonLocal
from attnlib.cost import closed_form

pytestmark = pytest.mark.alone


def test_time_of_the_associative_form():
    """At the stage of the claim, 56 x 56."""
    forms = [
        LightNonLocal(24, impl=impl) for impl in ("associative", "reference")
    ]
    assert time_of_both(forms, (2, 24, 56, 56), 0.3, rounds=8) <= 0.3


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
