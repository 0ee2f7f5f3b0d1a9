"""Checks of the chapter on DANet, ``danet-1`` and ``danet-2``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise

PLUS, MINUS = 16 / 25, 16 / 19


@exercise("danet-1", right="loud for the plus, unlike for the minus.")
def _largest(answer: Any) -> str | None:
    try:
        found = tuple(float(number) for number in answer)
    except (TypeError, ValueError):
        found = ()
    if len(found) != 2:
        return "two numbers are asked for: (with +, with -)."
    hints = (
        ((PLUS, MINUS), None),
        ((MINUS, PLUS), "the other way round: the plus first."),
        ((8 / 13, 8 / 11), "these are the weights before a is doubled."),
        ((8 / 25, MINUS), "b no longer listens most to itself with the plus."),
        ((16.0, 1.0), "these are the numbers f: divide by their sum."),
        ((0.5, 8 / 11), "a . b doubles too: from 2 to 4, not to 3."),
    )
    for pair, hint in hints:
        if all(abs(a - b) < 6e-4 for a, b in zip(found, pair, strict=True)):
            return hint
    if abs(found[0] - PLUS) < 6e-4:
        return "the plus is right. The minus: 2 to the power of minus each."
    if abs(found[1] - MINUS) < 6e-4:
        return "the minus is right. The plus: 2 to the power of each."
    return "write down b's dot products with 2a, b and c, then powers of two."


@exercise("danet-2", right="finite in float16, exact in float64.")
def _safe(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for."
    a = torch.rand(6, 10, dtype=torch.float64)
    found = answer(a.clone())
    if found is None:
        return "put your lines in place of the dots: it returned nothing."
    if not isinstance(found, Tensor) or found.shape != (6, 6):
        shape = tuple(getattr(found, "shape", ()))
        return f"a tensor of shape (6, 6) is asked for, got {shape}."
    if found.dtype != a.dtype:
        return "the weights come back in another type than the features."
    gram = a @ a.T
    wanted = (-gram).softmax(1)
    for mistaken, hint in (
        (gram.softmax(1), "that is the paper's sign."),
        ((-gram).softmax(0), "each row sums to one: softmax over e."),
        (-gram, "that is the score: the softmax is missing."),
    ):
        if torch.allclose(found, mistaken):
            return hint
    if not torch.allclose(found, wanted, rtol=0, atol=1e-5):
        return "not yet softmax(-a a^T)."
    if not torch.allclose(found, wanted, rtol=0, atol=1e-12):
        return "right in float32, but float64 features lose digits."
    return _in_half(answer)


def _in_half(answer: Any) -> str | None:
    """Try features whose Gram matrix leaves float16."""
    large = (3 + torch.rand(6, 9216, dtype=torch.float32)).half()
    found = answer(large.clone())
    if found.dtype != torch.float16:
        return "float16 in, float16 out: round the weights at the end."
    if found.isnan().any():
        return "NaN in float16: every entry of this Gram matrix is infinite."
    exact = large.double()
    wanted = (-(exact @ exact.T)).softmax(1)
    # Near 10^5 float32 steps by 1/128, and so do the scores.
    if not torch.allclose(found.double(), wanted, rtol=0, atol=2e-2):
        return "finite in float16, but not the weights: when do you round?"
    return None
