"""Costs: closed form equals count, for every block and form, to the byte."""

import pytest
import torch
from cases import CASES, CHANNELS, SIZES, Case

from attnlib import NonLocal, SelfAttention
from attnlib.catalog import CATALOG
from attnlib.cost import closed_form, count

# SIZES is small enough for "auto" to take the plain form, LARGE is not.
LARGE = {1: (300,), 2: (20, 21), 3: (4, 10, 12)}


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("sizes", [SIZES, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_closed_form_is_what_is_counted(case, batch, sizes, dtype):
    block = case.build(dtype=dtype)
    shape = (batch, CHANNELS, *sizes[case.dims])
    if batch == 1 and "pair" in case.traits:
        with pytest.raises(ValueError, match="at least 2 images"):
            count(block, shape)
        return
    for impl in block.impls:
        counted = count(block, shape, impl=impl)
        assert closed_form(block, shape, impl=impl) == counted, impl


@pytest.mark.parametrize("case", CASES, ids=str)
def test_counting_leaves_the_block_as_it_was(case):
    block = case.build()
    state = {k: v.clone() for k, v in block.state_dict().items()}
    impl = block.impl
    count(block, (2, CHANNELS, *case.size), impl="reference")
    assert block.impl == impl
    assert not block.training
    assert all(torch.equal(v, state[k]) for k, v in block.state_dict().items())
    assert all(p.grad is None for p in block.parameters())


def test_every_block_has_a_formula():
    for key in CATALOG:
        assert closed_form(Case(key).build(), (1, CHANNELS, 5, 7)).macs > 0


# The numbers that the fact sheets print.


@pytest.mark.parametrize(
    ("channels", "side", "macs"),
    [(256, 64, 9.66e9), (256, 128, 141.7e9), (512, 97, 100.5e9)],
)
def test_self_attention_on_paper(channels, side, macs):
    block = SelfAttention(channels, device="meta")
    cost = closed_form(block, (1, channels, side, side), impl="reference")
    assert cost.parameters == 4 * (channels**2 + channels)
    n = side * side
    assert cost.macs == 4 * n * channels**2 + 2 * n * n * channels
    assert abs(cost.macs / macs - 1) < 1e-3


@pytest.mark.parametrize(
    ("channels", "parameters"),
    [(1024, 2_101_760), (512, 526_592), (256, 132_224)],
)
def test_non_local_parameters_on_paper(channels, parameters):
    block = NonLocal(channels, subsample="after", device="meta")
    assert sum(p.numel() for p in block.parameters()) == parameters


@pytest.mark.parametrize(
    ("channels", "size", "before", "after"),
    [
        (1024, (4, 14, 14), 1.185e9, 1.802e9),
        (512, (4, 28, 28), 2.286e9, 2.903e9),
    ],
)
def test_non_local_multiply_adds_on_paper(channels, size, before, after):
    for subsample, macs in (("before", before), ("after", after)):
        block = NonLocal(channels, dims=3, subsample=subsample, device="meta")
        cost = closed_form(block, (1, channels, *size), impl="reference")
        assert abs(cost.macs / macs - 1) < 1e-3
