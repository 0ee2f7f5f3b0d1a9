"""Criss-cross attention: the cross, the own position, one softmax, 3-D."""

import pytest
import torch
from crosses import dense, grids, slopes

from attnlib import maps
from attnlib.functional import (
    criss_cross_attention,
    criss_cross_map,
    criss_cross_weights,
    explain_criss_cross_attention,
    merged,
)

FORMS = ("reference", "merged")
each_form = pytest.mark.parametrize("impl", FORMS)
SIZES = [(7,), (5, 7), (3, 4, 5), (1, 6), (6, 1), (1, 1), (1, 4, 5), (3, 4, 1)]


@each_form
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_is_dense_attention_under_a_mask(size, impl):
    inputs = grids(size)
    weights, expected = dense(*inputs)
    found = criss_cross_attention(*inputs, impl=impl)
    torch.testing.assert_close(found, expected)
    full = criss_cross_map(criss_cross_weights(*inputs[:2]))
    torch.testing.assert_close(full, weights)
    for ours, theirs in zip(
        slopes(found, inputs), slopes(expected, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@each_form
def test_small_and_large_images_take_the_same_sums(impl, monkeypatch):
    """Images together or one by one."""
    inputs = grids((4, 5), batch=5)
    for together in (1, 4 * 5 * 6 * 2, 10**6):
        monkeypatch.setattr(merged, "TOGETHER", together)
        found = criss_cross_attention(*inputs, impl=impl)
        torch.testing.assert_close(found, dense(*inputs)[1])
        for ours, theirs in zip(
            slopes(found, inputs),
            slopes(dense(*inputs)[1], inputs),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs)


@each_form
def test_by_hand(impl):
    """A 2 x 2 map of scores 0: three positions a cross, a third each."""
    q = torch.zeros(1, 2, 2, 1, dtype=torch.float64)
    v = torch.tensor([[[[3.0], [6.0]], [[9.0], [30.0]]]]).double()
    y = criss_cross_attention(q, q, v, impl=impl)
    # row mates, column mate and itself: 3 + 6 + 9, 3 + 6 + 30, ...
    expected = torch.tensor([[6.0, 13.0], [14.0, 15.0]]).double()
    torch.testing.assert_close(y[0, ..., 0], expected)


def test_the_position_itself_is_counted_once():
    """In the last axis: the column's copy weighs nothing."""
    q, k, _ = grids((5, 7))
    weights = criss_cross_weights(q, k)
    column, row = weights.split([5, 7], -1)
    assert not column.diagonal(dim1=1, dim2=3).any()
    assert (row.diagonal(dim1=2, dim2=3) > 0).all()
    support = maps.support(criss_cross_map(weights))
    assert (support == 5 + 7 - 1).all()


def test_one_softmax_not_two():
    """Two softmaxes, each over its line, halve what one weighs jointly."""
    q, k, _ = grids((5, 7))
    column, row = criss_cross_weights(q, k).split([5, 7], -1)
    shares = column.sum(-1), row.sum(-1)
    torch.testing.assert_close(sum(shares), torch.ones_like(shares[0]))
    assert (shares[0] - 0.5).abs().max() > 0.2


def test_two_partial_softmaxes_merge():
    """Each line's own softmax, weighed by its sum of exponentials."""
    q, k, v = grids((5, 7))
    row = torch.einsum("bhwd,bhgd->bhwg", q, k)
    column = torch.einsum("bhwd,bgwd->bhwg", q, k)
    own = torch.eye(5, dtype=torch.bool)[:, None]
    column = column.masked_fill(own, -torch.inf)
    sizes = torch.stack([row.logsumexp(-1), column.logsumexp(-1)], -1)
    share = sizes.softmax(-1)[..., None]  # (B, H, W, 2, 1)
    one = torch.einsum("bhwg,bhgc->bhwc", row.softmax(-1), v)
    two = torch.einsum("bhwg,bgwc->bhwc", column.softmax(-1), v)
    y = share[..., 0, :] * one + share[..., 1, :] * two
    torch.testing.assert_close(y, criss_cross_attention(q, k, v))


def official_three(q, k, v, *, mend):
    """The official 3-D aggregation; ``mend`` puts the last arm right.

    (B, C, H, W, D). Only the first arm masks the position itself; the weights
    of the second are laid out as (0, 1, 4, 2, 3) instead of (0, 1, 3, 2, 4)
    before their product.
    """
    h, w, d = q.shape[2:]
    own = torch.eye(h, dtype=torch.bool).view(1, h, 1, 1, h)
    e_h = torch.einsum("bchwd,bcgwd->bhwdg", q, k)
    e_h = e_h.masked_fill(own, -torch.inf)
    e_w = torch.einsum("bchwd,bchgd->bhwdg", q, k)
    e_d = torch.einsum("bchwd,bchwg->bhwdg", q, k)
    a = torch.cat([e_h, e_w, e_d], -1).softmax(-1)
    a_h, a_w, a_d = a.split([h, w, d], -1)
    out = torch.einsum("bhwdg,bcgwd->bchwd", a_h, v)
    order = (0, 1, 3, 2, 4) if mend else (0, 1, 4, 2, 3)
    # (B, H, D, W, W): for each line (h, d) a map of W x W
    lines = a_w.permute(order).reshape(-1, w, w)
    values = v.permute(0, 2, 4, 3, 1).reshape(-1, w, v.shape[1])
    along = (lines @ values).view(-1, h, d, w, v.shape[1])
    out = out + along.permute(0, 4, 1, 3, 2)
    return out + torch.einsum("bhwdg,bchwg->bchwd", a_d, v)


def test_the_two_mistakes_of_the_official_three_dimensions():
    """With the axes put right it still counts the position itself twice."""
    q, k, v = (t.detach() for t in grids((4, 4, 4)))
    ours = criss_cross_attention(q, k, v)
    planes = [t.movedim(-1, 1) for t in (q, k, v)]
    mended = official_three(*planes, mend=True).movedim(1, -1)
    broken = official_three(*planes, mend=False).movedim(1, -1)
    weights, _ = dense(q, k, v)
    own = torch.eye(64, dtype=torch.float64)
    twice = weights * (1 + own)
    twice = twice / twice.sum(-1, keepdim=True)
    expected = (twice @ v.flatten(1, -2)).view(v.shape)
    torch.testing.assert_close(mended, expected)
    assert (mended - ours).abs().max() > 0.05
    assert (broken - mended).abs().max() > 0.05


@each_form
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(impl, dtype):
    """Scores of 102 400 leave float16; the weights stay one-hot.

    The official mask is float32 whatever the map is, and stops there.
    """
    q = torch.zeros(1, 2, 3, 64, dtype=dtype)
    q[..., 0, :] = 40
    v = torch.arange(6, dtype=dtype).view(1, 2, 3, 1)
    y = criss_cross_attention(q, q, v, impl=impl)
    # the first column attends to itself: (0 + 3) / 2; elsewhere all are even
    assert y.isfinite().all()
    assert y[0, 0, 0].item() == y[0, 1, 0].item() == 1.5


@each_form
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.float32, torch.float64], ids=str
)
@pytest.mark.parametrize("transposed", [False, True])
def test_the_largest_score_of_either_line(impl, dtype, transposed):
    """All weight on the column, or on the row: neither overflows."""
    q = torch.full((1, 2, 3, 64), 40, dtype=dtype)
    k, v = torch.zeros_like(q), torch.zeros_like(q[..., :1])
    k[:, 1], v[:, 1] = 40, 7
    grids = [t.transpose(1, 2) for t in (q, k, v)] if transposed else (q, k, v)
    y = criss_cross_attention(*grids, impl=impl)
    torch.testing.assert_close(y, torch.full_like(y, 7))


@pytest.mark.parametrize("size", [1, 0.5, 0.1])
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str
)
def test_merged_is_at_most_twice_as_far_off(dtype, size):
    """Root mean squared error of value and gradients."""
    single = [
        (size * t.detach()).to(dtype).requires_grad_()
        for t in grids((40, 33), d=16, dv=24)
    ]
    double = [t.detach().double().requires_grad_() for t in single]
    results = []
    for inputs, impl in (
        (double, "reference"),
        (single, "reference"),
        (single, "merged"),
    ):
        y = criss_cross_attention(*inputs, impl=impl)
        results.append([y, *slopes(y, inputs)])
    for exact, plain, fast in zip(*results, strict=True):
        assert fast.dtype == dtype
        assert (fast - exact).norm() <= 2 * (plain - exact).norm()


def test_what_auto_takes_and_why():
    q, k, v = grids((5, 7))
    assert explain_criss_cross_attention(q, k, v).impl == "merged"

    def run(q):
        choices.append(explain_criss_cross_attention(q, k, v))
        return criss_cross_attention(q, k, v)

    choices = []
    _, slope = torch.func.jvp(run, (q,), (torch.ones_like(q),))
    assert choices[0].impl == "reference"
    assert "forward-mode" in choices[0].reason
    _, expected = torch.func.jvp(
        lambda q: dense(q, k, v)[1], (q,), (torch.ones_like(q),)
    )
    torch.testing.assert_close(slope, expected)
    with pytest.raises(NotImplementedError, match="use impl='reference'"):
        torch.func.jvp(
            lambda q: criss_cross_attention(q, k, v, impl="merged"),
            (q,),
            (torch.ones_like(q),),
        )


def test_second_derivatives_of_merged_raise():
    q, k, v = grids((3, 4))
    for impl in FORMS:
        y = criss_cross_attention(q, k, v, impl=impl)
        (slope,) = torch.autograd.grad(y.sum(), q, create_graph=True)
        if impl == "merged":
            with pytest.raises(RuntimeError, match="impl='reference'"):
                slope.sum().backward()
        else:
            slope.sum().backward()
    assert torch.autograd.gradgradcheck(
        lambda *t: criss_cross_attention(*t, impl="reference"), (q, k, v)
    )


@pytest.mark.parametrize(
    ("change", "kind", "word"),
    [
        (lambda q, k, v: (q[0, 0], k, v), ValueError, "q must be"),
        (lambda q, k, v: (q[..., :2], k, v), ValueError, "the same shape"),
        (lambda q, k, v: (q, k, v[:, :2]), ValueError, "the same grid"),
        (lambda q, k, v: (q[:, :0], k, v), ValueError, "none of them empty"),
        (lambda q, k, v: (q.float(), k, v), TypeError, "share one dtype"),
        (lambda q, k, v: (q, k.long(), v), TypeError, "k must be a floating"),
        (lambda q, k, v: (q, k, None), TypeError, "v must be a tensor"),
        (lambda q, k, v: (q, k.to("meta"), v), ValueError, "on one device"),
    ],
)
def test_bad_grids(change, kind, word):
    for impl in ("auto", *FORMS):
        with pytest.raises(kind, match=word):
            criss_cross_attention(*change(*grids((3, 4))), impl=impl)
    with pytest.raises(ValueError, match="impl must be one of"):
        criss_cross_attention(*grids((3, 4)), impl="sdpa")
