"""Every fast form equals the formula, in value and gradient, or refuses."""

import pytest
import torch
from cases import CASES, IMPL_CASES, gradients
from forms import FORMS, derivatives, each_form, scalars, tokens

from attnlib.functional import (
    RecomputedAttention,
    chunked,
    concatenation_attention,
    dot_product_attention,
    explain_softmax_attention,
    softmax_attention,
)

# (B, N, M, d, dv): unequal lengths and widths, one position, one channel, no
# batch, several tiles both ways, several groups of maps the last not full
SHAPES = [
    (2, 7, 5, 3, 4),
    (1, 1, 1, 1, 1),
    (2, 1, 9, 4, 2),
    (2, 9, 1, 4, 2),
    (0, 4, 4, 2, 2),
    (2, 0, 4, 2, 2),
    (3, 70, 90, 16, 8),
    (1, 1100, 2100, 3, 2),
    (5, 300, 800, 2, 3),
]


def loops(q, k, v, scale):
    """Return the sum over j, spelt out for one batch entry."""
    rows = []
    for q_i in q:
        f = [(scale * (q_i * k_j).sum()).exp() for k_j in k]
        y_i = sum(f_j * v_j for f_j, v_j in zip(f, v, strict=True)) / sum(f)
        rows.append(y_i)
    return torch.stack(rows)


def test_softmax_reference_is_the_sum():
    q, k, v = (t[0] for t in tokens((1, 4, 5, 3, 2)))
    y = softmax_attention(q, k, v, scale=0.7, impl="reference")
    torch.testing.assert_close(y, loops(q, k, v, 0.7))


def test_pairwise_references_are_the_sums():
    q, k, v = (t[0] for t in tokens((1, 4, 5, 3, 2)))
    rows = []
    for q_i in q:
        f = [q_i @ k_j for k_j in k]
        rows.append(sum(f_j * v_j for f_j, v_j in zip(f, v, strict=True)) / 5)
    y = dot_product_attention(q, k, v, impl="reference")
    torch.testing.assert_close(y, torch.stack(rows))
    a, b = q[:, 0], k[:, 0]
    rows = []
    for a_i in a:
        f = [(a_i + b_j).relu() for b_j in b]
        rows.append(sum(f_j * v_j for f_j, v_j in zip(f, v, strict=True)) / 5)
    y = concatenation_attention(a, b, v, impl="reference")
    torch.testing.assert_close(y, torch.stack(rows))


@each_form
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [1.0, 20.0], ids=["plain", "saturated"])
def test_fast_form_equals_reference(function, inputs, impl, shape, size):
    args = inputs(shape, scale=size)
    expected = derivatives(lambda *a: function(*a, impl="reference"), args)
    found = derivatives(lambda *a: function(*a, impl=impl), args)
    for got, want in zip(found, expected, strict=True):
        assert got.isfinite().all()
        scale = max(1.0, float(want.abs().max())) if want.numel() else 1.0
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12 * scale)


@each_form
def test_leading_dimensions(function, inputs, impl):
    """(N, d), (B, N, d) and (B, heads, N, d) mean the same."""
    args = [t.detach() for t in inputs((6, 7, 5, 3, 4))]
    flat = function(*args, impl=impl)
    heads = function(*(t.unflatten(0, (2, 3)) for t in args), impl=impl)
    torch.testing.assert_close(heads, flat.unflatten(0, (2, 3)))
    single = function(*(t[0] for t in args), impl=impl)
    torch.testing.assert_close(single, flat[0])


@each_form
def test_first_derivative_by_finite_differences(function, inputs, impl):
    assert torch.autograd.gradcheck(
        lambda *a: function(*a, impl=impl), inputs((2, 5, 4, 3, 2))
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_teaching_form_equals_the_operator(shape):
    args = tokens(shape)
    teaching = derivatives(lambda *a: RecomputedAttention.apply(*a, 0.5), args)
    operator = derivatives(
        lambda *a: softmax_attention(*a, scale=0.5, impl="chunked"), args
    )
    for got, want in zip(teaching, operator, strict=True):
        assert torch.equal(got, want)
    assert torch.autograd.gradcheck(
        lambda *a: RecomputedAttention.apply(*a, 0.5), tokens((1, 3, 4, 2, 2))
    )


@pytest.mark.parametrize(
    "sides", [(1, 1), (2, 3), (5, 2), (3, 40), (7, 24), (50, 50)], ids=str
)
def test_tiles_of_any_size_give_the_same(monkeypatch, sides):
    """One row, one key, a last tile that is not full, groups of maps."""
    args = tokens((3, 7, 11, 2, 4))
    expected = derivatives(
        lambda *a: softmax_attention(*a, scale=0.5, impl="reference"), args
    )
    monkeypatch.setitem(chunked.TILE, "cpu", sides)
    found = derivatives(
        lambda *a: softmax_attention(*a, scale=0.5, impl="chunked"), args
    )
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["attention_chunked", "attention_sdpa"])
def test_operator_passes_opcheck(name):
    args = tokens((2, 6, 5, 4, 4))
    operator = getattr(torch.ops.attnlib, name)
    results = torch.library.opcheck(operator, (*args, 0.5))
    assert set(results.values()) == {"SUCCESS"}


# Second derivatives and forward mode: right where they exist, a clear refusal
# where they do not.


@pytest.mark.parametrize(
    "function", [softmax_attention, dot_product_attention]
)
def test_second_derivative_of_the_reference(function):
    args = tokens((1, 3, 4, 2, 2))
    assert torch.autograd.gradgradcheck(
        lambda *a: function(*a, impl="reference"), args
    )


@pytest.mark.parametrize(("function", "inputs", "impl"), [FORMS[3], FORMS[5]])
def test_second_derivative_of_the_reordered_sums(function, inputs, impl):
    args = inputs((1, 3, 4, 2, 2))
    assert torch.autograd.gradgradcheck(
        lambda *a: function(*a, impl=impl), args
    )


def second_derivative(function, args):
    y = function(*args)
    loss = y.square().sum()
    (slope,) = torch.autograd.grad(loss, args[0], create_graph=True)
    return torch.autograd.grad(slope.sum(), args[0])


def test_second_derivative_is_refused_not_wrong():
    args = tokens((1, 5, 4, 3, 3))
    for impl in ("chunked", "sdpa"):
        refusal = f"impl='{impl}' has first derivatives only"
        with pytest.raises(RuntimeError, match=refusal):
            second_derivative(
                lambda *a, i=impl: softmax_attention(*a, impl=i), args
            )
    y = RecomputedAttention.apply(*args, 1.0)
    loss = y.square().sum()
    (slope,) = torch.autograd.grad(loss, args[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


@pytest.mark.parametrize("impl", ["sdpa", "chunked"])
def test_forward_mode_is_refused(impl):
    args = tuple(t.detach() for t in tokens((1, 5, 4, 3, 3)))
    with pytest.raises(NotImplementedError, match="use impl='reference'"):
        torch.func.jvp(lambda *a: softmax_attention(*a, impl=impl), args, args)


def test_auto_takes_the_reference_for_forward_mode():
    args = tuple(t.detach() for t in tokens((1, 300, 300, 3, 3)))
    assert explain_softmax_attention(*args).impl != "reference"
    (_, exact), (_, auto) = (
        torch.func.jvp(
            lambda *a, i=i: softmax_attention(*a, impl=i), args, args
        )
        for i in ("reference", "auto")
    )
    assert exact.abs().max() > 0.1
    torch.testing.assert_close(auto, exact)


# Concatenation: exactness at ties and under cancellation.


def test_ties_take_the_derivative_of_relu_at_zero():
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randint(-3, 4, (2, n), generator=generator).double()
        for n in (9, 11)
    )
    v = torch.randn(2, 11, 3, generator=generator, dtype=torch.float64)
    assert (a[..., :, None] + b[..., None, :] == 0).any()
    args = [t.requires_grad_() for t in (a, b + 0.1 - 0.1, v)]
    for shift in (0.0, -50.0, 50.0):  # mixed, all keys off, all keys on
        found = {}
        for impl in ("reference", "sorted"):

            def shifted(a, b, v, impl=impl, shift=shift):
                return concatenation_attention(a + shift, b, v, impl=impl)

            found[impl] = derivatives(shifted, args)
        for want, got in zip(*found.values(), strict=True):
            torch.testing.assert_close(got, want)


def test_centring_removes_the_cancellation():
    a, b, v = (t.detach().float() for t in scalars((1, 1024, 1024, 1, 8)))
    exact = concatenation_attention(
        (a + 100).double(), (b - 100).double(), v.double(), impl="reference"
    )
    error = {}
    for impl in ("reference", "sorted"):
        y = concatenation_attention(a + 100, b - 100, v, impl=impl)
        error[impl] = (y - exact).abs().max()
    assert error["sorted"] <= 2 * error["reference"]


# Whole blocks.


@pytest.mark.parametrize(
    ("case", "impl"),
    IMPL_CASES,
    ids=[f"{case}-{impl}" for case, impl in IMPL_CASES],
)
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_block_gives_the_same_with_every_impl(case, impl, train):
    x = case.input()
    expected = gradients(case.build(impl="reference").train(train), x)
    for name, got in gradients(case.build(impl=impl).train(train), x).items():
        scale = max(1.0, float(expected["output"].abs().max()))
        close = {"rtol": 1e-9, "atol": 1e-11 * scale}
        torch.testing.assert_close(got, expected[name], **close)


# Through EMANet's iteration no gradient passes: its slope is another function.
WHOLE = [case for case in CASES if "frozen" not in case.traits]


@pytest.mark.parametrize("case", WHOLE, ids=str)
def test_block_gradient_by_finite_differences(case):
    block = case.build(impl="auto")
    x = case.input(1)[..., :4].contiguous().requires_grad_()
    assert torch.autograd.gradcheck(block, (x,), fast_mode=True)
