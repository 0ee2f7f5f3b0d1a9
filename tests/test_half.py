"""Low precision: at most twice the error of the formula, and no overflow."""

import pytest
import torch
import torch.nn.functional as F
from forms import derivatives, each_form, tokens

from attnlib.functional import (
    dot_product_attention,
    softmax_attention,
    softmax_weights,
)

# Shape and factor on the inputs: d**-0.25 gives scores of variance 1, as
# trained layers have, 1 gives scores of variance d.
ERRORS = [
    ((2, 40, 50, 8, 8), 1),
    ((1, 300, 260, 16, 40), 1),
    ((1, 300, 260, 40, 40), 40**-0.25),
    ((1, 1100, 2100, 16, 16), 0.5),  # several tiles both ways
]


def results(function, inputs, impl):
    """Return exact, plain and fast value and gradients."""
    double = [t.detach().double().requires_grad_() for t in inputs]
    pairs = (double, "reference"), (inputs, "reference"), (inputs, impl)
    return zip(
        *(derivatives(lambda *a, i=i: function(*a, impl=i), t)
          for t, i in pairs),
        strict=True,
    )  # fmt: skip


@each_form
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("shape", "size"), ERRORS, ids=str)
def test_half_precision_error_at_most_twice_that_of_the_formula(
    function, inputs, impl, dtype, shape, size
):
    """The largest error of an entry."""
    half = inputs(shape, dtype, size)
    for exact, plain, fast in results(function, half, impl):
        assert fast.dtype == dtype
        largest = exact.abs().max()
        rounding = torch.finfo(dtype).eps * largest / 2  # of the result
        error, allowed = ((t - exact).abs().max() for t in (fast, plain))
        assert error <= 2 * torch.maximum(allowed, rounding)


@each_form
@pytest.mark.parametrize("size", [1, 0.5, 0.1])  # peaked to even attention
@pytest.mark.parametrize("shape", [shape for shape, _ in ERRORS], ids=str)
def test_float32_error_at_most_twice_that_of_the_formula(
    function, inputs, impl, shape, size
):
    """The root of the mean squared error.

    The largest entry is chance here: errors of a few units in the last place.
    """
    single = inputs(shape, torch.float32, size)
    for exact, plain, fast in results(function, single, impl):
        assert (fast - exact).norm() <= 2 * (plain - exact).norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("keys", [1000, 1100])  # one tile and two
@pytest.mark.parametrize("d", [16, 64])
@pytest.mark.parametrize("impl", ["sdpa", "chunked"])
def test_large_scores_cost_no_precision(impl, d, keys, dtype):
    """Scores of variance d: kept is what rounding took from the output."""
    half = tokens((1, 600, keys, d, d), dtype)
    for exact, plain, fast in results(softmax_attention, half, impl):
        assert (fast - exact).norm() <= 0.9 * (plain - exact).norm()


@pytest.mark.parametrize("size", [1, 0.5, 0.1, 0.01])  # peaked to even
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str
)
@pytest.mark.parametrize("impl", ["sdpa", "chunked"])
def test_a_normaliser_near_log_m_costs_no_precision(impl, dtype, size):
    """Where PyTorch's own backward pass is off: dv, and dq and dk in half."""
    inputs = tokens((1, 600, 2100, 64, 64), dtype, size)
    for exact, plain, fast in results(softmax_attention, inputs, impl):
        assert (fast - exact).norm() <= 1.5 * (plain - exact).norm()


def test_the_backward_pass_of_pytorch_needs_help():
    """Without it the kernel's dv is more than twice as far off."""
    inputs = tokens((2, 300, 260, 16, 16), torch.float32, 0.1)

    def form(q, k, v, impl):
        if impl == "reference":
            return softmax_attention(q, k, v, impl=impl)
        heads = (t[:, None] for t in (q, k, v))
        return F.scaled_dot_product_attention(*heads, scale=1.0)[:, 0]

    exact, plain, fast = list(results(form, inputs, "kernel"))[3]
    assert (fast - exact).norm() > 2 * (plain - exact).norm()


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
