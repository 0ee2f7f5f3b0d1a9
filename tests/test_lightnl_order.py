"""LightNL: both orders of the products agree; which is taken, and where."""

import math

import pytest
import torch
from lights import IMPLS, build, each_impl, each_normalizer, picture

from attnlib import LightNonLocal
from attnlib.cost import closed_form, count
from attnlib.functional import (
    dot_product_attention,
    light_attention,
    light_weights,
    product_order,
)


@each_impl
@pytest.mark.parametrize("nl_s", [1, 2])
def test_forms_have_all_derivatives(impl, nl_s):
    """Values, gradients, gradients of gradients, forward mode."""
    x = picture(2, 4, 3, 4).requires_grad_()
    block = build(4, nl_c=0.5, nl_s=nl_s, impl=impl)
    check = {"check_forward_ad": True, "fast_mode": True}
    assert torch.autograd.gradcheck(block, (x,), **check)
    assert torch.autograd.gradgradcheck(block, (x,), fast_mode=True)


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("nl_s", [1, 2, 3])
@each_normalizer
def test_forms_agree_in_value_and_gradient(normalizer, nl_s, train):
    x = picture(2, 32, 5, 7)
    found = []
    for impl in IMPLS:
        block = build(32, nl_s=nl_s, normalizer=normalizer, impl=impl)
        leaf = x.clone().requires_grad_()
        y = block.train(train)(leaf)
        leaves = [leaf, *block.parameters()]
        found.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def official_rule(height, width, channels, r, s):
    """What the official code compares, and what it would report."""
    n, m = height * width, (height // s) * (width // s)
    with_map = n * m * channels * (1 + r)
    without = (n + m) * channels**2 * r
    if with_map < without:
        return "reference", with_map
    return "associative", without


@pytest.mark.parametrize(
    ("channels", "side", "order"),
    [
        (24, 56, "associative"),
        (40, 28, "associative"),
        (80, 14, "associative"),
        (96, 14, "associative"),
        (192, 7, "reference"),
        (320, 7, "reference"),
    ],
)
def test_order_of_the_published_stages(channels, side, order):
    """For s = 1 and r = 1/4: the map is the cheaper way if N < 0.4 C."""
    assert official_rule(side, side, channels, 0.25, 1)[0] == order
    assert (order == "reference") == (side**2 < 0.4 * channels)
    found = product_order(side**2, side**2, channels // 4, channels)
    assert found == order
    # auto builds the map exactly where it is the cheaper way
    block = LightNonLocal(channels, device="meta")
    shape = (1, channels, side, side)
    costs = {i: closed_form(block, shape, impl=i) for i in block.impls}
    assert costs["auto"] == costs[order]
    assert costs["auto"].macs == min(c.macs for c in costs.values())


def test_auto_counts_what_it_multiplies():
    """Beside it the official rule counts floor(H/s) floor(W/s) keys, r C."""
    for channels, r, s, side in (
        (16, 0.25, 2, 3),  # 4 keys, not 1
        (45, 0.25, 1, 4),  # 11 channels, not 11.25
    ):
        keys = math.ceil(side / s) ** 2
        block = LightNonLocal(channels, nl_c=r, nl_s=s, impl="auto")
        ours = closed_form(block, (1, channels, side, side)).macs
        counted = count(block, (1, channels, side, side)).macs
        c, n = int(r * channels), side**2
        products = (n * keys * (c + channels), (n + keys) * c * channels)
        assert ours == counted == min(products) + 9 * channels * n
        official = official_rule(side, side, channels, r, s)[1]
        assert official != min(products)


def test_the_recorded_run():
    """49 positions, 16 channels: 48 020 against 6 272."""
    order, macs = official_rule(7, 7, 16, 0.25, 1)
    assert (order, macs) == ("associative", 6272)
    block = LightNonLocal(16, device="meta")
    costs = [closed_form(block, (1, 16, 7, 7), impl=i).macs for i in IMPLS]
    filters = 9 * 16 * 49
    assert costs == [48020 + filters, 6272 + filters]


def test_the_map_is_built_where_it_is_small():
    """By what autograd keeps: N M numbers, or C c of them."""
    for side, size in ((4, 16 * 16), (20, 16 * 64)):
        block, shape = LightNonLocal(64), (1, 64, side, side)
        kept = count(block, shape).kept_bytes
        assert kept == 4 * (3 * 64 * side**2 + size + 2 * 64)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (2, 9), (2, 2), (1, 1)])
@pytest.mark.parametrize("nl_s", [2, 3])
def test_cost_of_thin_maps(shape, nl_s):
    block = LightNonLocal(8, nl_s=nl_s)
    for impl in block.impls:
        full = (2, 8, *shape)
        assert closed_form(block, full, impl=impl) == count(
            block, full, impl=impl
        )


def test_a_traced_graph_has_no_map():
    """It holds for every size."""
    block = build(64)
    axes = {2: torch.export.Dim("h", min=2), 3: torch.export.Dim("w", min=2)}
    program = torch.export.export(
        block, (picture(1, 64, 3, 4),), dynamic_shapes=(axes,)
    )
    x = picture(1, 64, 24, 25)
    torch.testing.assert_close(program.module()(x), block(x))
    shapes = [
        node.meta["val"].shape
        for node in program.graph.nodes
        if isinstance(node.meta.get("val"), torch.Tensor)
    ]
    assert any(tuple(s) == (1, 64, 16) for s in shapes)
    assert not any(
        len(s) == 3 and not isinstance(s[1], int) and s[1] == s[2]
        for s in shapes
    )


@pytest.mark.slow
def test_train_mode_compiles_and_moves_the_statistics():
    torch._dynamo.reset()
    block, other = build().train(), build().train()
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    x = picture(2, 16, 5, 7)
    torch.testing.assert_close(compiled(x), other(x))
    for ours, theirs in zip(block.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_relation_to_dot_product_attention():
    """D = M: the dot product of non-local networks, positions as columns."""
    q, k, v = picture(2, 3, 7), picture(2, 3, 5), picture(2, 4, 5)
    for impl in IMPLS:
        ours = light_attention(q, k, v, impl=impl)
        other = dot_product_attention(q.mT, k.mT, v.mT).mT
        torch.testing.assert_close(ours, other)
    torch.testing.assert_close(v @ light_weights(q, k).mT, ours)
