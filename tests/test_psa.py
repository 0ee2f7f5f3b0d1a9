"""Polarized self-attention: where the softmax stands, and what it does."""

import pytest
import torch
from cases import randomise

from attnlib import PolarizedSelfAttention
from attnlib.cost import closed_form
from attnlib.functional import pool_positions
from attnlib.memory import allocations

FORMS = [
    (layout, variant)
    for layout in ("parallel", "sequential")
    for variant in ("official", "paper")
]
each = pytest.mark.parametrize(("layout", "variant"), FORMS)


def build(layout, variant, channels=16, **options):
    torch.manual_seed(0)
    block = PolarizedSelfAttention(
        channels, layout=layout, variant=variant, **options
    )
    return randomise(block).double().eval()


@each
def test_the_block_is_its_formula(layout, variant):
    """One position at a time, one channel at a time."""
    block = build(layout, variant)
    x = torch.randn(1, 16, 3, 4, dtype=torch.float64)

    def at(layer, t):
        y = layer.weight[:, :, 0, 0] @ t
        return y if layer.bias is None else y + layer.bias[:, None]

    def channel(t):  # (C, N) -> (C, 1)
        q, v = at(block.channel_query, t)[0], at(block.channel_value, t)
        weights = q.exp() / q.exp().sum()
        context = sum(weights[j] * v[:, j] for j in range(12))[None]
        u = block.out(context[..., None, None])[0, :, 0, 0]
        if variant == "paper":
            u = (u - u.mean()) / (u.var(correction=0) + 1e-5).sqrt()
            u = u * block.norm.weight + block.norm.bias
        return u.sigmoid()[:, None]

    def spatial(t):  # (C, N) -> (1, N)
        g = at(block.spatial_query, t).mean(1)
        theta = at(block.spatial_value, t)
        if variant == "paper":
            g = g.exp() / g.exp().sum()
        elif layout == "sequential":
            theta = theta.softmax(1)
        s = g @ theta
        if (layout, variant) == ("parallel", "official"):
            s = s.softmax(0)
        return s.sigmoid()[None]

    t = x[0].flatten(1)
    if layout == "parallel":
        y = t * channel(t) + t * spatial(t)
    else:
        z = t * channel(t)
        y = z * spatial(z)
    torch.testing.assert_close(block(x)[0].flatten(1), y)
    gates = block.gates(x)
    torch.testing.assert_close(gates[0][0, :, :, 0], channel(t))
    seen = t if layout == "parallel" else t * channel(t)
    torch.testing.assert_close(gates[1][0].flatten(1), spatial(seen))


@pytest.mark.parametrize("side", [4, 16, 64])
def test_official_parallel_spatial_gate_moves_a_quarter_in_all(side):
    """t sums to one and s(t) - 1/2 <= t / 4."""
    block = build("parallel", "official")
    for size in (1, 30):  # even and peaked
        x = size * torch.randn(1, 16, side, side, dtype=torch.float64)
        gate = block.gates(x)[1]
        assert (gate >= 0.5).all()
        assert 0.2 < (gate - 0.5).sum() <= 0.25


def test_the_papers_spatial_gate_moves_everywhere():
    x = torch.randn(1, 16, 64, 64, dtype=torch.float64)
    moved = {}
    for variant in ("official", "paper"):
        gate = build("parallel", variant).gates(x)[1]
        moved[variant] = (gate - 0.5).abs().mean()
    assert moved["paper"] > 100 * moved["official"]


def test_the_papers_gate_depends_on_the_query():
    """A softmax over the one row of the query would make it constant."""
    block = build("parallel", "paper")
    x = torch.randn(1, 16, 5, 7, dtype=torch.float64)
    before = block.gates(x)[1]
    with torch.no_grad():
        block.spatial_query.weight.mul_(3)
    assert (block.gates(x)[1] - before).abs().max() > 1e-3


def test_small_official_sequential_blocks_have_a_dead_bottleneck():
    """With 8 to 15 channels its layer norm sees a single number."""
    for channels, dead in ((8, True), (15, True), (16, False)):
        block = build("sequential", "official", channels)
        x = torch.randn(1, channels, 5, 7, dtype=torch.float64)
        block(x).square().sum().backward()
        slope = block.channel_value.weight.grad.abs().max()
        assert (slope < 1e-10) == dead
    with pytest.raises(ValueError, match="at least 8 for the official seq"):
        PolarizedSelfAttention(7, layout="sequential")


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 524_800),
        ({"layout": "sequential"}, 443_584),
        ({"variant": "paper"}, 527_105),
    ],
)
def test_the_sheets_numbers(options, parameters):
    block = PolarizedSelfAttention(512, device="meta", **options)
    for side, macs in ((64, 1.61e9), (96, 3.63e9), (128, 6.46e9)):
        cost = closed_form(block, (1, 512, side, side), impl="reference")
        assert cost.parameters == parameters
        assert abs(cost.macs / macs - 1) < 6e-3


@pytest.mark.parametrize(
    ("layout", "variant"), [("parallel", "official"), ("parallel", "paper")]
)
def test_folded_keeps_input_output_and_one_gate(layout, variant):
    x = torch.randn(1, 64, 32, 32)
    size = x.numel() * x.element_size()
    peak = {}
    for impl in ("reference", "folded"):
        block = PolarizedSelfAttention(
            64, layout=layout, variant=variant, impl=impl
        )
        peak[impl] = allocations(block, x, backward=False).peak
    assert peak["folded"] < 2.2 * size  # the gate and the output
    assert peak["reference"] > 2.9 * size


def test_pool_positions_is_a_weighted_mean():
    x, scores = torch.randn(2, 3, 7), torch.randn(2, 1, 7)
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
    expected = (x * weights).sum(-1, keepdim=True)
    torch.testing.assert_close(pool_positions(x, scores), expected)
    with pytest.raises(ValueError, match=r"scores must be \(\.\.\., 1, N\)"):
        pool_positions(x, scores[:, :, :6])
