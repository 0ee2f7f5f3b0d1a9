"""Time, peak and growth of sparse attention: streamed, plain, dense."""

import math

import pytest
from alone import peak, peak_test, time_of_both

from attnlib import NonLocal, NonLocalSparseAttention
from attnlib.cost import closed_form

alone = pytest.mark.alone
SHAPE = (1, 64, 96, 96)


@alone
def test_time_of_the_streamed_form():
    forms = [
        NonLocalSparseAttention(64, impl=impl)
        for impl in ("streamed", "reference")
    ]
    assert time_of_both(forms, SHAPE, 0.8) <= 0.8


@alone
def test_time_against_the_dense_block():
    sparse = NonLocalSparseAttention(64)
    dense = NonLocal(64, impl="reference", norm=False)
    assert time_of_both([sparse, dense], SHAPE, 0.8) <= 0.8


@peak_test
def test_peaks():
    streamed, plain = (
        peak("nlsa", impl, SHAPE) for impl in ("streamed", "reference")
    )
    dense = peak("nonlocal", "reference", SHAPE)
    print(f"{streamed / plain:.3f} {streamed / dense:.3f} {dense / 2**20:.0f}")
    assert streamed <= plain / 4
    assert streamed <= dense / 8


@alone
def test_growth_of_the_multiply_adds():
    """From 192 x 192 to 384 x 384: 256 chunks and more, 128 buckets."""
    found = {}
    for block in (
        NonLocalSparseAttention(512, device="meta"),
        NonLocal(512, device="meta"),
    ):
        small, large = (
            closed_form(block, (1, 512, n, n), impl="reference").macs
            for n in (192, 384)
        )
        found[type(block)] = math.log(large / small, 4)
    assert abs(found[NonLocalSparseAttention] - 1) < 0.01
    assert abs(found[NonLocal] - 2) < 0.05


@alone
def test_bytes_kept():
    """Scores and lists are not kept; the plain form keeps all of them."""
    block = NonLocalSparseAttention(256, device="meta")
    shape = (1, 256, 100, 100)
    streamed, plain = (
        closed_form(block, shape, impl=impl).kept_bytes
        for impl in ("streamed", "reference")
    )
    assert streamed <= plain / 7
