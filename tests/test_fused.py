"""The fused kernel is never lost in silence; ``auto`` says why it picks."""

import pytest
import torch
import torch.nn.functional as F
from forms import tokens
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnlib.functional import explain_softmax_attention, softmax_attention
from attnlib.functional import softmax as softmax_module


def fused_choice(q, k, v):
    return SDPBackend(torch._fused_sdp_choice(q, k, v, scale=1.0))


def test_four_ways_to_lose_the_fused_kernel():
    """What PyTorch does in silence, and why ``_fused`` prepares its inputs."""
    good = torch.randn(1, 1, 64, 16)
    assert fused_choice(good, good, good) == SDPBackend.FLASH_ATTENTION
    flat = good[0]  # three dimensions
    assert fused_choice(flat, flat, flat) == SDPBackend.MATH
    strided = torch.randn(1, 1, 16, 64).mT  # as flatten(2).transpose(1, 2)
    assert fused_choice(strided, strided, strided) == SDPBackend.MATH
    narrow = good[..., :8]  # value width
    assert fused_choice(good, good, narrow) == SDPBackend.MATH
    dropout = {"dropout_p": 0.1, "scale": 1.0}
    choice = torch._fused_sdp_choice(good, good, good, **dropout)
    assert SDPBackend(choice) == SDPBackend.MATH


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16]
)
@pytest.mark.parametrize(
    "widths", [(16, 16), (8, 64), (64, 8), (1, 1), (3, 5), (512, 512)]
)
def test_sdpa_never_leaves_the_fused_kernel(monkeypatch, dtype, widths):
    d, dv = widths
    seen = []
    original = F.scaled_dot_product_attention

    def spy(q, k, v, **kw):
        seen.append(fused_choice(q, k, v))
        return original(q, k, v, **kw)

    monkeypatch.setattr(softmax_module.F, "scaled_dot_product_attention", spy)
    natural = [
        torch.randn(2, w, 5, 7).to(dtype).flatten(2).transpose(1, 2)
        for w in (d, d, dv)
    ]
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # a fall-back would raise
        softmax_attention(*natural, impl="sdpa")
        leaves = [t.requires_grad_() for t in natural]
        softmax_attention(*leaves, impl="sdpa").sum().backward()
    assert seen == [SDPBackend.FLASH_ATTENTION] * 2


@pytest.mark.parametrize(
    ("shape", "impl", "reason"),
    [
        ((1, 30, 30, 8, 8), "reference", "too small"),
        ((1, 400, 400, 8, 8), "sdpa", "fused kernel"),
        ((1, 400, 400, 16, 8), "chunked", "value width 8, key width 16"),
        ((1, 400, 400, 8, 64), "chunked", "value width 64, key width 8"),
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
            softmax_module,
            name,
            lambda *a, n=name, o=original, **k: called.append(n) or o(*a, **k),
        )
    softmax_attention(*args)
    names = {
        "sdpa": "_fused",
        "chunked": "chunked_attention",
        "reference": "softmax_weights",
    }
    assert called == [names[impl]]


def test_sdpa_refuses_a_device_without_fused_kernel(monkeypatch):
    monkeypatch.setattr(
        softmax_module, "_no_fused_kernel", lambda q: "no kernel here"
    )
    args = tokens((1, 400, 400, 8, 8))
    assert explain_softmax_attention(*args) == ("chunked", "no kernel here")
    refusal = "no kernel here.*use impl='chunked'"
    with pytest.raises(ValueError, match=refusal):
        softmax_attention(*args, impl="sdpa")
