"""Half precision: at most twice the error of the formula, and no overflow."""

import pytest
import torch
from forms import derivatives, each_form

from attnlib.functional import (
    dot_product_attention,
    softmax_attention,
    softmax_weights,
)


@each_form
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "shape", [(2, 40, 50, 8, 8), (1, 300, 260, 16, 40)], ids=str
)
def test_half_precision_error_at_most_twice_that_of_the_formula(
    function, inputs, impl, dtype, shape
):
    half = inputs(shape, dtype)
    double = [t.detach().double().requires_grad_() for t in half]
    exact = derivatives(lambda *a: function(*a, impl="reference"), double)
    plain = derivatives(lambda *a: function(*a, impl="reference"), half)
    fast = derivatives(lambda *a: function(*a, impl=impl), half)
    for f, p, e in zip(fast, plain, exact, strict=True):
        assert f.dtype == dtype
        rounding = torch.finfo(dtype).eps * e.abs().max() / 2  # of the result
        error, allowed = ((t.double() - e).abs().max() for t in (f, p))
        assert error <= 2 * torch.maximum(allowed, rounding)


@pytest.mark.parametrize("impl", ["reference", "sdpa", "chunked", "auto"])
def test_scores_beyond_float16(impl):
    """q . k = 102 400 overflows float16; the weights are still one-hot."""
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


def test_softmax_weights_of_half_inputs_are_float32_inside():
    q = torch.full((1, 1, 64), 40.0, dtype=torch.float16)
    assert softmax_weights(q, torch.cat([q, -q], 1)).tolist() == [[[1.0, 0.0]]]
