"""Every fast form equals the formula: value, gradient, low precision, and where it must refuse."""

import pytest
import torch
import torch.nn.functional as F
from cases import CASES, IMPL_CASES, gradients
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnlib.functional import (
    RecomputedAttention,
    concatenation_attention,
    dot_product_attention,
    explain_softmax_attention,
    softmax_attention,
    softmax_weights,
)
from attnlib.functional import softmax as softmax_module

# (B, N, M, d, dv): unequal lengths and widths, one position, one channel, several tiles, no batch
SHAPES = [
    (2, 7, 5, 3, 4),
    (1, 1, 1, 1, 1),
    (2, 1, 9, 4, 2),
    (2, 9, 1, 4, 2),
    (0, 4, 4, 2, 2),
    (3, 70, 90, 16, 8),
    (2, 2100, 300, 4, 6),
]


def tokens(shape, dtype=torch.float64, scale=1.0):
    b, n, m, d, dv = shape
    generator = torch.Generator().manual_seed(0)
    sizes = ((b, n, d), (b, m, d), (b, m, dv))
    return [
        (scale * torch.randn(s, generator=generator, dtype=torch.float64))
        .to(dtype)
        .requires_grad_()
        for s in sizes
    ]


def scalars(shape, dtype=torch.float64, scale=1.0):
    q, k, v = (t.detach() for t in tokens(shape, dtype, scale))
    return [t.clone().requires_grad_() for t in (q[..., 0], k[..., 0], v)]


def derivatives(function, inputs):
    y = function(*inputs)
    probe = torch.cos(torch.arange(y.numel(), dtype=torch.float64)).view(y.shape).to(y.dtype)
    return [y.detach(), *torch.autograd.grad((y * probe).sum(), inputs)]


def loops(q, k, v, scale):
    """Return the sum over j, spelt out for one batch entry."""
    rows = []
    for q_i in q:
        f = [(scale * (q_i * k_j).sum()).exp() for k_j in k]
        rows.append(sum(f_j * v_j for f_j, v_j in zip(f, v, strict=True)) / sum(f))
    return torch.stack(rows)


FORMS = [
    (softmax_attention, tokens, "sdpa"),
    (softmax_attention, tokens, "chunked"),
    (softmax_attention, tokens, "auto"),
    (dot_product_attention, tokens, "associative"),
    (dot_product_attention, tokens, "auto"),
    (concatenation_attention, scalars, "sorted"),
    (concatenation_attention, scalars, "auto"),
]
each_form = pytest.mark.parametrize(
    ("function", "inputs", "impl"), FORMS, ids=[f"{f.__name__}-{impl}" for f, _, impl in FORMS]
)


def test_softmax_reference_is_the_sum():
    q, k, v = (t[0] for t in tokens((1, 4, 5, 3, 2)))
    y = softmax_attention(q, k, v, scale=0.7, impl="reference")
    torch.testing.assert_close(y, loops(q, k, v, 0.7))


def test_pairwise_references_are_the_sums():
    q, k, v = (t[0] for t in tokens((1, 4, 5, 3, 2)))
    y = torch.stack(
        [sum((q_i @ k_j) * v_j for k_j, v_j in zip(k, v, strict=True)) / 5 for q_i in q]
    )
    torch.testing.assert_close(dot_product_attention(q, k, v, impl="reference"), y)
    a, b = q[:, 0], k[:, 0]
    y = torch.stack(
        [sum((a_i + b_j).relu() * v_j for b_j, v_j in zip(b, v, strict=True)) / 5 for a_i in a]
    )
    torch.testing.assert_close(concatenation_attention(a, b, v, impl="reference"), y)


@each_form
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [1.0, 20.0], ids=["plain", "saturated"])
def test_fast_form_equals_reference(function, inputs, impl, shape, size):
    args = inputs(shape, scale=size)
    expected = derivatives(lambda *a: function(*a, impl="reference"), args)
    for got, want in zip(
        derivatives(lambda *a: function(*a, impl=impl), args), expected, strict=True
    ):
        assert got.isfinite().all()
        scale = max(1.0, float(want.abs().max())) if want.numel() else 1.0
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12 * scale)


@each_form
def test_leading_dimensions(function, inputs, impl):
    """(N, d), (B, N, d) and (B, heads, N, d) mean the same, position by position."""
    args = [t.detach() for t in inputs((6, 7, 5, 3, 4))]
    flat = function(*args, impl=impl)
    heads = function(*(t.unflatten(0, (2, 3)) for t in args), impl=impl)
    torch.testing.assert_close(heads, flat.unflatten(0, (2, 3)))
    torch.testing.assert_close(function(*(t[0] for t in args), impl=impl), flat[0])


@each_form
def test_first_derivative_by_finite_differences(function, inputs, impl):
    assert torch.autograd.gradcheck(lambda *a: function(*a, impl=impl), inputs((2, 5, 4, 3, 2)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_teaching_form_equals_the_operator(shape):
    args = tokens(shape)
    teaching = derivatives(lambda *a: RecomputedAttention.apply(*a, 0.5), args)
    operator = derivatives(lambda *a: softmax_attention(*a, scale=0.5, impl="chunked"), args)
    for got, want in zip(teaching, operator, strict=True):
        assert torch.equal(got, want)
    assert torch.autograd.gradcheck(
        lambda *a: RecomputedAttention.apply(*a, 0.5), tokens((1, 3, 4, 2, 2))
    )


def test_operator_passes_opcheck():
    args = tokens((2, 6, 5, 3, 4))
    results = torch.library.opcheck(torch.ops.attnlib.chunked_attention, (*args, 0.5))
    assert set(results.values()) == {"SUCCESS"}


# Second derivatives and forward mode: right where they exist, a clear refusal where they do not.


@pytest.mark.parametrize("function", [softmax_attention, dot_product_attention])
def test_second_derivative_of_the_reference(function):
    args = tokens((1, 3, 4, 2, 2))
    assert torch.autograd.gradgradcheck(lambda *a: function(*a, impl="reference"), args)


@pytest.mark.parametrize(("function", "inputs", "impl"), [FORMS[3], FORMS[5]])
def test_second_derivative_of_the_reordered_sums(function, inputs, impl):
    args = inputs((1, 3, 4, 2, 2))
    assert torch.autograd.gradgradcheck(lambda *a: function(*a, impl=impl), args)


def second_derivative(function, args):
    y = function(*args)
    (slope,) = torch.autograd.grad(y.square().sum(), args[0], create_graph=True)
    return torch.autograd.grad(slope.sum(), args[0])


def test_second_derivative_is_refused_not_wrong():
    args = tokens((1, 5, 4, 3, 3))
    with pytest.raises(RuntimeError, match="use impl='reference'"):
        second_derivative(lambda *a: softmax_attention(*a, impl="chunked"), args)
    y = RecomputedAttention.apply(*args, 1.0)
    (slope,) = torch.autograd.grad(y.square().sum(), args[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
    with pytest.raises(RuntimeError, match="not implemented"):
        second_derivative(lambda *a: softmax_attention(*a, impl="sdpa"), args)


@pytest.mark.parametrize("impl", ["sdpa", "chunked"])
def test_forward_mode_is_refused(impl):
    args = tuple(t.detach() for t in tokens((1, 5, 4, 3, 3)))
    with pytest.raises(NotImplementedError, match="use impl='reference'"):
        torch.func.jvp(lambda *a: softmax_attention(*a, impl=impl), args, args)


def test_auto_takes_the_reference_for_forward_mode():
    args = tuple(t.detach() for t in tokens((1, 300, 300, 3, 3)))
    assert explain_softmax_attention(*args).impl != "reference"
    (_, exact), (_, auto) = (
        torch.func.jvp(lambda *a, i=i: softmax_attention(*a, impl=i), args, args)
        for i in ("reference", "auto")
    )
    assert exact.abs().max() > 0.1
    torch.testing.assert_close(auto, exact)


# Half precision.


@each_form
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(2, 40, 50, 8, 8), (1, 300, 260, 16, 40)], ids=str)
def test_half_precision_error_at_most_twice_that_of_the_formula(
    function, inputs, impl, dtype, shape
):
    half = inputs(shape, dtype)
    exact = derivatives(
        lambda *a: function(*a, impl="reference"),
        [t.detach().double().requires_grad_() for t in half],
    )
    plain = derivatives(lambda *a: function(*a, impl="reference"), half)
    fast = derivatives(lambda *a: function(*a, impl=impl), half)
    for f, p, e in zip(fast, plain, exact, strict=True):
        assert f.dtype == dtype
        spacing = torch.finfo(dtype).eps * e.abs().max() / 2  # one rounding of the result
        error = (f.double() - e).abs().max()
        assert error <= 2 * torch.maximum((p.double() - e).abs().max(), spacing)


@pytest.mark.parametrize("impl", ["reference", "sdpa", "chunked", "auto"])
def test_scores_beyond_float16(impl):
    """q . k = 102 400 overflows float16; the weights are still those of a one-hot row."""
    q = torch.full((1, 1, 64), 40.0, dtype=torch.float16)
    k = torch.cat([q, q / 2, -q], dim=1)
    v = torch.tensor([[[1.0], [2.0], [3.0]]], dtype=torch.float16)
    assert (q @ k.mT).isinf().any()
    y = softmax_attention(q, k, v.expand(1, 3, 64), impl=impl)
    assert torch.equal(y, torch.ones_like(y))


@pytest.mark.parametrize("impl", ["reference", "associative"])
def test_dot_products_beyond_float16(impl):
    q = torch.full((1, 2000, 32), 10.0, dtype=torch.float16)
    y = dot_product_attention(q, q, q[..., :4] / 1000, impl=impl)
    assert y.isfinite().all()
    assert ((y.float() - 32.0).abs() < 0.1).all()


# The fused path and the predicate.


def fused_choice(q, k, v):
    return SDPBackend(torch._fused_sdp_choice(q, k, v, scale=1.0))


def test_four_ways_to_lose_the_fused_kernel():
    """What PyTorch does in silence, and why ``_fused`` prepares its inputs."""
    good = torch.randn(1, 1, 64, 16)
    assert fused_choice(good, good, good) == SDPBackend.FLASH_ATTENTION
    assert fused_choice(good[0], good[0], good[0]) == SDPBackend.MATH  # three dimensions
    strided = torch.randn(1, 1, 16, 64).mT  # what flatten(2).transpose(1, 2) gives
    assert fused_choice(strided, strided, strided) == SDPBackend.MATH
    assert fused_choice(good, good, good[..., :8]) == SDPBackend.MATH  # value width
    choice = torch._fused_sdp_choice(good, good, good, dropout_p=0.1, scale=1.0)
    assert SDPBackend(choice) == SDPBackend.MATH


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("widths", [(16, 16), (8, 64), (64, 8), (1, 1), (3, 5), (512, 512)])
def test_sdpa_never_leaves_the_fused_kernel(monkeypatch, dtype, widths):
    d, dv = widths
    seen = []
    original = F.scaled_dot_product_attention

    def spy(q, k, v, **kw):
        seen.append(fused_choice(q, k, v))
        return original(q, k, v, **kw)

    monkeypatch.setattr(softmax_module.F, "scaled_dot_product_attention", spy)
    natural = [torch.randn(2, w, 5, 7).to(dtype).flatten(2).transpose(1, 2) for w in (d, d, dv)]
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # a fall-back would raise
        softmax_attention(*natural, impl="sdpa")
        softmax_attention(*(t.requires_grad_() for t in natural), impl="sdpa").sum().backward()
    assert seen == [SDPBackend.FLASH_ATTENTION] * 2


@pytest.mark.parametrize(
    ("shape", "impl", "reason"),
    [
        ((1, 30, 30, 8, 8), "reference", "too small"),
        ((1, 400, 400, 8, 8), "sdpa", "fused kernel"),
        ((1, 400, 400, 16, 8), "sdpa", "fused kernel"),
        ((1, 400, 400, 8, 64), "chunked", "value width 64 > key width 8"),
    ],
)
def test_auto_explains_its_choice(monkeypatch, shape, impl, reason):
    args = tokens(shape)
    choice = explain_softmax_attention(*args)
    assert choice.impl == impl
    assert reason in choice.reason
    called = []
    for name in ("_fused", "chunked_attention", "softmax_weights"):
        original = getattr(softmax_module, name)
        monkeypatch.setattr(
            softmax_module, name, lambda *a, n=name, o=original, **k: called.append(n) or o(*a, **k)
        )
    softmax_attention(*args)
    names = {"sdpa": "_fused", "chunked": "chunked_attention", "reference": "softmax_weights"}
    assert called == [names[impl]]


def test_sdpa_refuses_a_device_without_fused_kernel(monkeypatch):
    monkeypatch.setattr(softmax_module, "_no_fused_kernel", lambda q: "no kernel here")
    args = tokens((1, 400, 400, 8, 8))
    assert explain_softmax_attention(*args) == ("chunked", "no kernel here")
    with pytest.raises(ValueError, match=r"no kernel here.*use impl='chunked'"):
        softmax_attention(*args, impl="sdpa")


# Concatenation: exactness at ties and under cancellation.


def test_ties_take_the_derivative_of_relu_at_zero():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(-3, 4, (2, n), generator=generator).double() for n in (9, 11))
    v = torch.randn(2, 11, 3, generator=generator, dtype=torch.float64)
    assert (a[..., :, None] + b[..., None, :] == 0).any()
    args = [t.requires_grad_() for t in (a, b + 0.1 - 0.1, v)]
    for shift in (0.0, -50.0, 50.0):  # mixed, all keys off, all keys on
        reference, fast = (
            derivatives(
                lambda a, b, v, i=i, c=shift: concatenation_attention(a + c, b, v, impl=i), args
            )
            for i in ("reference", "sorted")
        )
        for got, want in zip(fast, reference, strict=True):
            torch.testing.assert_close(got, want)


def test_centring_removes_the_cancellation():
    a, b, v = (t.detach().float() for t in scalars((1, 1024, 1024, 1, 8)))
    exact = concatenation_attention(
        (a + 100).double(), (b - 100).double(), v.double(), impl="reference"
    )
    error = {
        impl: (concatenation_attention(a + 100, b - 100, v, impl=impl) - exact).abs().max()
        for impl in ("reference", "sorted")
    }
    assert error["sorted"] <= 2 * error["reference"]


# Whole blocks.


@pytest.mark.parametrize(
    ("case", "impl"), IMPL_CASES, ids=[f"{case}-{impl}" for case, impl in IMPL_CASES]
)
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_block_gives_the_same_with_every_impl(case, impl, train):
    x = case.input()
    expected = gradients(case.build(impl="reference").train(train), x)
    for name, got in gradients(case.build(impl=impl).train(train), x).items():
        scale = max(1.0, float(expected["output"].abs().max()))
        torch.testing.assert_close(got, expected[name], rtol=1e-9, atol=1e-11 * scale)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_block_gradient_by_finite_differences(case):
    block = case.build(impl="auto")
    x = case.input(1)[..., :4].contiguous().requires_grad_()
    assert torch.autograd.gradcheck(block, (x,), fast_mode=True)


def test_softmax_weights_of_half_inputs_are_float32_inside():
    q = torch.full((1, 1, 64), 40.0, dtype=torch.float16)
    assert softmax_weights(q, torch.cat([q, -q], 1)).tolist() == [[[1.0, 0.0]]]
