"""The three functions with their forms, and inputs for them."""

import pytest
import torch

from attnlib.functional import (
    concatenation_attention,
    dot_product_attention,
    softmax_attention,
)


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
    probe = torch.arange(y.numel(), dtype=torch.float64).cos()
    probe = probe.view(y.shape).to(y)
    return [y.detach(), *torch.autograd.grad((y * probe).sum(), inputs)]


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
    ("function", "inputs", "impl"),
    FORMS,
    ids=[f"{f.__name__}-{impl}" for f, _, impl in FORMS],
)
