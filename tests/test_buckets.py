"""Attention inside buckets: lists, multiplicities, what converges to what."""

import pytest
import torch
from lists import lists_of, naive
from torch.nn.functional import one_hot

from attnlib.functional import (
    bucket_attention,
    bucket_order,
    bucket_weights,
    count_buckets,
    explain_bucket_attention,
    hash_codes,
    list_counts,
    listed,
    softmax_attention,
)

FORMS = ("reference", "streamed", "auto")
each_form = pytest.mark.parametrize("impl", FORMS)


def sample(b, n, d, c, m, rounds=2, *, dtype=torch.float64, size=1.0):
    g = torch.Generator().manual_seed(0)
    kw = {"generator": g, "dtype": torch.float64}
    e, v = torch.randn(b, n, d, **kw) * size, torch.randn(b, n, c, **kw)
    r = torch.randn(1, d, rounds, count_buckets(n, m) // 2, **kw)
    e, v = (t.to(dtype).requires_grad_() for t in (e, v))
    return e, v, r.to(dtype)


def slopes(y, leaves):
    probe = torch.arange(y.numel(), dtype=torch.float64).cos()
    return torch.autograd.grad((y * probe.view(y.shape).to(y)).sum(), leaves)


def dense(e, v):
    k = e / e.norm(dim=-1, keepdim=True)
    return softmax_attention(e, k, v, impl="reference")


# One chunk, two, three, more; whole and filled up, by one and by all but one.
SIZES = [(6, 6), (12, 6), (11, 6), (18, 6), (17, 6), (13, 6), (30, 6)]
SIZES += [(31, 6), (35, 6), (5, 1), (9, 4)]


@each_form
@pytest.mark.parametrize("dedup", [False, True])
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_the_official_steps(n, m, dedup, impl):
    e, v, r = sample(2, n, 4, 3, m)
    y = bucket_attention(e, v, r, chunk_size=m, dedup=dedup, impl=impl)
    expected = torch.stack(
        [naive(*t, r, m, dedup) for t in zip(e, v, strict=True)]
    )
    torch.testing.assert_close(y, expected)
    for a, b in zip(slopes(y, [e, v]), slopes(expected, [e, v]), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_multiplicities(n, m):
    e, _, r = sample(2, n, 4, 3, m, rounds=3)
    order = bucket_order(hash_codes(e, r))
    counts = list_counts(order, m)
    for image in range(2):
        found = lists_of(e[image], r, m)
        wanted = torch.tensor([[f[j] for j in range(n)] for f in found])
        assert torch.equal(counts[image], wanted.int())
    row = list_counts(order, m, row=n // 2)
    assert torch.equal(row, counts[:, n // 2 : n // 2 + 1])


@pytest.mark.parametrize(
    ("n", "m", "counts"),
    [
        (6, 6, {3}),
        (12, 6, {1, 2}),
        (18, 6, {1}),
        (24, 6, {0, 1}),
        (11, 6, {1, 2, 4}),
    ],
)
def test_table_of_exactness(n, m, counts):
    """Dense where every key comes up equally often in every list."""
    e, v, r = sample(1, n, 4, 3, m, rounds=1)
    found = list_counts(bucket_order(hash_codes(e, r)), m)
    assert set(found.flatten().tolist()) == counts
    y = bucket_attention(e, v, r, chunk_size=m, impl="reference")
    far = (y - dense(e, v)).norm() / dense(e, v).norm()
    if len(counts) == 1:
        assert far < 1e-13
    else:
        assert far > 1e-2


@pytest.mark.parametrize(
    ("n", "m", "dedup", "choice"),
    [
        (5, 6, False, "dense"),
        (6, 6, False, "dense"),
        (7, 6, False, "streamed"),
        (12, 6, False, "streamed"),
        (12, 6, True, "dense"),
        (17, 6, True, "dense"),
        (17, 6, False, "streamed"),
        (18, 6, False, "dense"),
        (19, 6, True, "streamed"),
    ],
)
def test_auto_is_dense_only_where_that_is_exact(n, m, dedup, choice):
    e, v, r = sample(1, n, 4, 3, m)
    found = explain_bucket_attention(e, v, m, dedup=dedup)
    assert found.impl == choice
    assert found.reason
    options = {"chunk_size": m, "dedup": dedup}
    torch.testing.assert_close(
        bucket_attention(e, v, r, **options),
        bucket_attention(e, v, r, impl="reference", **options),
    )


@each_form
def test_fewer_positions_than_a_chunk(impl):
    """The official code raises; here they are one chunk: dense attention."""
    e, v, r = sample(2, 11, 4, 3, 144)
    y = bucket_attention(e, v, r, impl=impl)
    torch.testing.assert_close(y, dense(e, v))


@pytest.mark.parametrize("dedup", [False, True])
def test_groups_of_chunks(monkeypatch, dedup):
    e, v, r = sample(2, 35, 4, 3, 4)
    options = {"chunk_size": 4, "dedup": dedup}
    whole = bucket_attention(e, v, r, impl="streamed", **options)
    expected = [whole.detach(), *slopes(whole, [e, v])]
    for chunks in (1, 2, 4):  # of nine
        monkeypatch.setattr(listed, "TOGETHER", chunks * 48)
        y = bucket_attention(e, v, r, impl="streamed", **options)
        found = [y.detach(), *slopes(y, [e, v])]
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)


# The hash


def test_count_of_buckets():
    """About one a chunk, rounded up to even, at most 128."""
    found = [count_buckets(n, 10) for n in (3, 10, 19, 20, 29, 30, 45, 1270)]
    assert found == [2, 2, 2, 2, 2, 4, 4, 128]
    assert count_buckets(48 * 48) == 16
    assert [count_buckets(n) for n in (18_287, 18_288, 10**6)] == [
        126,
        128,
        128,
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_codes_are_an_argmax_over_both_signs(dtype):
    e, _, r = sample(2, 40, 4, 3, 4, rounds=3, dtype=dtype)
    acc = torch.float32 if dtype == torch.float16 else dtype
    z = torch.einsum("bnd,dhk->bhnk", e.to(acc), r[0].to(acc))
    both = torch.cat([z, -z], -1)
    assert torch.equal(hash_codes(e, r), both.argmax(-1))
    assert torch.equal(hash_codes(e, r, signed=False), z.argmax(-1))
    assert hash_codes(3 * e.double(), r.double()).equal(
        hash_codes(e.double() / 7, r.double())
    )


def test_the_first_of_equal_products_wins():
    r = torch.tensor([[1.0, 1.0, -1.0]]).view(1, 1, 1, 3)
    e = torch.tensor([0.0, 2.0, -2.0]).view(1, 3, 1)
    # z = e r: all zero; 2, 2, -2 beside -2, -2, 2; -2, -2, 2 beside 2, 2, -2
    assert hash_codes(e, r).tolist() == [[[0, 0, 2]]]
    assert hash_codes(e, r, signed=False).tolist() == [[[0, 0, 2]]]


def test_equal_codes_keep_their_order():
    codes = torch.tensor([[[2, 0, 2, 0, 1, 2, 0]]])
    assert bucket_order(codes).tolist() == [[[1, 3, 6, 4, 0, 2, 5]]]
    many = torch.zeros(1, 1, 5000, dtype=torch.int64)
    assert torch.equal(bucket_order(many)[0, 0], torch.arange(5000))


def test_no_gradient_through_codes():
    e, v, r = sample(1, 20, 4, 3, 4)
    r.requires_grad_()
    for impl in ("reference", "streamed"):
        y = bucket_attention(e, v, r, chunk_size=4, impl=impl)
        assert slopes(y, [v])[0].any()
        with pytest.raises(RuntimeError, match="not have been used"):
            slopes(y, [r])


# What more rounds, and larger chunks, lead to


def groups_of_vectors(n=192, d=8, norm=5.0):
    """Embeddings in 24 clusters, each of one length."""
    g = torch.Generator().manual_seed(1)
    kw = {"generator": g, "dtype": torch.float64}
    centres = torch.randn(24, d, **kw)
    which = torch.randint(24, (n,), generator=g)
    e = centres[which] + 0.3 * torch.randn(n, d, **kw)
    e = norm * e / e.norm(dim=1, keepdim=True)
    return e[None], torch.randn(1, n, d, **kw)


def distance(e, v, m, rounds, dedup=False, draws=3):
    """Return the error against dense attention, over some draws."""
    exact, far = dense(e, v), []
    for seed in range(draws):
        g = torch.Generator().manual_seed(seed)
        shape = (1, e.shape[2], rounds, count_buckets(e.shape[1], m) // 2)
        r = torch.randn(shape, generator=g, dtype=e.dtype)
        y = bucket_attention(
            e, v, r, chunk_size=m, dedup=dedup, impl="streamed"
        )
        far.append((y - exact).norm() / exact.norm())
    return sum(far).item() / draws


def test_more_rounds_do_not_lead_to_dense_attention():
    """Keys like the query echo: the error levels off, but not with dedup."""
    e, v = groups_of_vectors()
    few, many = (distance(e, v, 12, rounds) for rounds in (4, 128))
    print(f"{few:.3f} {many:.3f}")
    assert many > 0.1
    assert many > few / 2
    few, many = (distance(e, v, 12, rounds, dedup=True) for rounds in (4, 128))
    print(f"{few:.3f} {many:.6f}")
    assert few > 0.02
    assert many < 1e-3


def test_what_the_rounds_approach():
    """Weights P(j is in the lists of i) exp(s_ij), P counted elsewhere."""
    e, _ = groups_of_vectors(96)
    shape = (1, e.shape[2], 4000, count_buckets(96, 12) // 2)
    draws = [
        torch.randn(
            shape, generator=torch.Generator().manual_seed(s), dtype=e.dtype
        )
        for s in (1, 2)
    ]
    order = bucket_order(hash_codes(e, draws[0]))
    share = list_counts(order, 12) / 4000  # of lists; no place is filled up
    s = e @ (e / e.norm(dim=-1, keepdim=True)).mT
    limit = (s + share.log()).softmax(-1)
    found = bucket_weights(e, draws[1], chunk_size=12)
    flat = s.softmax(-1)
    assert (found - limit).abs().sum(-1).mean() < 0.05
    assert (flat - limit).abs().sum(-1).mean() > 0.2
    assert torch.equal(share.diagonal(dim1=1, dim2=2), torch.ones(1, 96))
    sharper = limit.square().sum(-1) > flat.square().sum(-1)
    assert sharper.double().mean() > 0.95


def test_larger_chunks_are_not_steadily_better():
    """Three chunks are exact, two are not."""
    e, v = groups_of_vectors()
    found = [distance(e, v, m, 4) for m in (12, 48, 64, 96, 192)]
    print(*(f"{one:.4f}" for one in found))
    small, larger, three, two, one = found
    assert min(small, larger, two) > 1e-2
    assert max(three, one) < 1e-13


def test_the_hash_finds_the_mass():
    """Dense weight on keys seen: more than by a random grouping."""
    e, _ = groups_of_vectors()
    n = e.shape[1]
    full = (e @ (e / e.norm(dim=-1, keepdim=True)).mT).softmax(-1)
    g = torch.Generator().manual_seed(0)
    r = torch.randn(
        1, 8, 4, count_buckets(n, 12) // 2, generator=g, dtype=e.dtype
    )
    by_hash = bucket_order(hash_codes(e, r))
    by_chance = torch.stack([torch.randperm(n, generator=g) for _ in range(4)])
    mass = [
        (full * (list_counts(order, 12) > 0)).sum(-1).mean().item()
        for order in (by_hash, by_chance[None])
    ]
    print(*(f"{one:.3f}" for one in mass))
    assert mass[0] > mass[1] + 0.1


def test_map_is_made_of_multiplicities():
    e, v, r = sample(2, 35, 4, 3, 8)
    for dedup in (False, True):
        options = {"chunk_size": 8, "dedup": dedup}
        weights = bucket_weights(e, r, **options)
        y = bucket_attention(e, v, r, impl="streamed", **options)
        torch.testing.assert_close(weights @ v, y)
        one = bucket_weights(e, r, row=17, **options)
        torch.testing.assert_close(one[:, 0], weights[:, 17])


# Numbers


@each_form
def test_large_scores(impl):
    """Scores in the thousands: the largest wins, nothing overflows."""
    e, v, r = sample(1, 35, 4, 3, 8, size=1000.0)
    y = bucket_attention(e, v, r, chunk_size=8, impl=impl)
    torch.testing.assert_close(y[0], naive(e[0], v[0], r, 8))
    assert all(t.isfinite().all() for t in slopes(y, [e, v]))


@each_form
def test_short_embeddings(impl):
    """A length below 5e-5 is replaced by 5e-5, not added to."""
    e, v, r = sample(1, 35, 4, 3, 8, size=3e-5)
    with torch.no_grad():
        e[0, :3] = 0
    short = (e.norm(dim=-1) < 5e-5).double().mean()
    assert 0.2 < short < 0.8
    y = bucket_attention(e, v, r, chunk_size=8, impl=impl)
    torch.testing.assert_close(y[0], naive(e[0], v[0], r, 8))
    # With EPS added the scores, up to 1e-4, would be a third smaller.
    with torch.no_grad():
        k = e / e.norm(dim=-1, keepdim=True).clamp_min(5e-5)
        added = e / (e.norm(dim=-1, keepdim=True) + 5e-5)
        weights = bucket_weights(e, r, chunk_size=8)
        counts = list_counts(bucket_order(hash_codes(e, r)), 8)
        ours = (e @ k.mT + counts.double().log()).softmax(-1)
        other = (e @ added.mT + counts.double().log()).softmax(-1)
    torch.testing.assert_close(weights, ours, rtol=1e-12, atol=0)
    assert (weights - other).abs().max() > 1e-8


@each_form
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_products_beyond_float16(dtype, impl):
    """Unnormalised queries: e . e = 80 000 stays finite in float32."""
    e = torch.full((1, 20, 32), 50.0, dtype=dtype)
    r = torch.ones(1, 32, 1, 2, dtype=dtype)
    v = torch.arange(20.0).to(dtype).view(1, 20, 1).expand(1, 20, 2)
    y = bucket_attention(e, v, r, chunk_size=5, impl=impl)
    assert y.dtype == dtype
    assert y.isfinite().all()


@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_error_at_most_twice_that_of_the_formula(dtype, size):
    e, v, r = sample(1, 300, 16, 24, 36, 4, dtype=dtype, size=size)
    exact_e, exact_v = (t.detach().double().requires_grad_() for t in (e, v))
    results = []
    for leaves, impl in (
        ([exact_e, exact_v], "reference"),
        ([e, v], "reference"),
        ([e, v], "streamed"),
    ):
        y = bucket_attention(
            *leaves, r.to(leaves[0]), chunk_size=36, impl=impl
        )
        results.append([y.detach(), *slopes(y, leaves)])
    for exact, plain, fast in zip(*results, strict=True):
        assert fast.dtype == dtype
        rounding = torch.finfo(dtype).eps * exact.abs().max() / 2
        error, allowed = ((t - exact).abs().max() for t in (fast, plain))
        assert error <= 2 * torch.maximum(allowed, rounding)


@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
def test_float32_error_at_most_twice_that_of_the_formula(size):
    e, v, r = sample(1, 300, 16, 24, 36, 4, dtype=torch.float32, size=size)
    exact_leaves = [t.detach().double().requires_grad_() for t in (e, v)]
    results = []
    for leaves, impl in (
        (exact_leaves, "reference"),
        ([e, v], "reference"),
        ([e, v], "streamed"),
    ):
        y = bucket_attention(
            *leaves, r.to(leaves[0]), chunk_size=36, impl=impl
        )
        results.append([y.detach(), *slopes(y, leaves)])
    for exact, plain, fast in zip(*results, strict=True):
        assert (fast - exact).norm() <= 2 * (plain - exact).norm()


# Derivatives


@pytest.mark.parametrize("dedup", [False, True])
@pytest.mark.parametrize("impl", ["reference", "streamed"])
def test_derivatives(impl, dedup):
    e, v, r = sample(2, 9, 3, 2, 2)

    def function(e, v):
        return bucket_attention(e, v, r, chunk_size=2, dedup=dedup, impl=impl)

    assert torch.autograd.gradcheck(function, (e, v))
    if impl == "reference":
        assert torch.autograd.gradgradcheck(function, (e, v))


def test_what_streamed_does_not_derive():
    e, v, r = sample(1, 9, 3, 2, 2)
    y = bucket_attention(e, v, r, chunk_size=2, impl="streamed")
    (slope,) = torch.autograd.grad(y.square().sum(), e, create_graph=True)
    with pytest.raises(RuntimeError, match="use impl='reference'"):
        torch.autograd.grad(slope.sum(), e)

    def tangent(impl):
        def function(e):
            return bucket_attention(e, v, r, chunk_size=2, impl=impl)

        return torch.func.jvp(function, (e,), (torch.ones_like(e),))[1]

    with pytest.raises(NotImplementedError, match="use impl='reference'"):
        tangent("streamed")
    torch.testing.assert_close(tangent("auto"), tangent("reference"))


def test_values_of_another_width_and_no_images():
    e, v, r = sample(1, 20, 4, 9, 4)
    for impl in FORMS:
        y = bucket_attention(e, v, r, chunk_size=4, impl=impl)
        assert y.shape == (1, 20, 9)
        none = bucket_attention(e[:0], v[:0], r, chunk_size=4, impl=impl)
        assert none.shape == (0, 20, 9)


@pytest.mark.parametrize(
    ("change", "kind", "word"),
    [
        (lambda e, v, r: (e[0], v, r), ValueError, "e must be"),
        (lambda e, v, r: (e[:, :0], v, r), ValueError, "e must be"),
        (lambda e, v, r: (e, v[:, :3], r), ValueError, "the same positions"),
        (lambda e, v, r: (e, v.float(), r), TypeError, "share one dtype"),
        (lambda e, v, r: (e, v.to("meta"), r), ValueError, "on one device"),
        (lambda e, v, r: (e, None, r), TypeError, "v must be a tensor"),
        (lambda e, v, r: (e, v, None), TypeError, "rotations must be a ten"),
        (lambda e, v, r: (e, v, r[0]), ValueError, r"be \(1, 4, rounds"),
        (lambda e, v, r: (e, v, r[:, :2]), ValueError, r"be \(1, 4, rounds"),
        (lambda e, v, r: (e, v, r[..., :0]), ValueError, "one direction"),
        (lambda e, v, r: (e, v, r.long()), TypeError, "rotations must be a f"),
        (lambda e, v, r: (e, v, r.to("meta")), ValueError, "device of e"),
    ],
)
def test_bad_input(change, kind, word):
    inputs = change(*sample(1, 20, 4, 3, 4))
    with pytest.raises(kind, match=word):
        bucket_attention(*inputs, chunk_size=4)


def test_bad_options():
    inputs = sample(1, 20, 4, 3, 4)
    with pytest.raises(ValueError, match="impl must be one of"):
        bucket_attention(*inputs, impl="dense")
    with pytest.raises(ValueError, match="chunk_size must be at least 1"):
        bucket_attention(*inputs, chunk_size=0)


def test_codes_of_one_hot_embeddings():
    """Directions e_1 .. e_k: the code is the axis, or its opposite."""
    axes = one_hot(torch.arange(4), 4).double()
    e = torch.cat([axes, -axes])[None]
    codes = hash_codes(e, axes.view(1, 4, 1, 4))
    assert codes.tolist() == [[[0, 1, 2, 3, 4, 5, 6, 7]]]
