"""Checks of the chapter on EMANet, ``emanet-1`` and ``-2``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from attnlib.exercises import exercise
from attnlib.memory import allocations


@exercise("emanet-1", right="44 images remember, 3 forget.")
def _updates(answer: Any) -> str | None:
    try:
        first, second = (float(number) for number in answer)
    except (TypeError, ValueError):
        return "two numbers are asked for: (at decay 0.9, at decay 0.1)."
    if (first, second) == (44, 3):
        return None
    if (first, second) == (3, 44):
        return "the other way round: decay is the weight of the old value."
    if (first, second) == (44, 2):
        return "44 is right. 0.1 squared is 0.01, which is not less."
    if (first, second) == (43, 3):
        return "0.9 to the power of 43 is still 0.0108."
    if first != int(first) or second != int(second):
        return "updates are counted: round up to whole numbers."
    if first == 44:
        return "44 is right. How many factors of 0.1 until it is below 0.01?"
    return "after n updates decay ** n of the start is left."


def _wanted(u: Tensor, mu: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Return the bases, as the formula has them."""
    x = W @ u + b[:, None]
    z = (x.T @ mu).softmax(1)
    means = x @ (z / (z.sum(0) + 1e-6))
    return means / (means.norm(dim=0) + 1e-6)


def _mistakes(
    u: Tensor, mu: Tensor, W: Tensor, b: Tensor
) -> dict[str, Tensor]:
    """Return what common mistakes yield, by the hint for each."""
    x = W @ u + b[:, None]
    z = (x.T @ mu).softmax(1)
    over_n = (x.T @ mu).softmax(0)
    half = (u.T @ (W.T @ mu)).softmax(1)
    means = x @ (z / (z.sum(0) + 1e-6))
    once = W @ (u @ z) + b[:, None]
    without = (W @ u) @ z
    return {
        "the softmax runs over the bases, not over the positions.": (
            F.normalize(x @ over_n, dim=0)
        ),
        "these are the means: bring them to length one.": means,
        "the bias is missing in the E-step: what is b . mu_k?": F.normalize(
            x @ half, dim=0
        ),
        "the bias enters the sums once for each unit of mass, not once.": (
            F.normalize(once, dim=0)
        ),
        "the bias is missing in the M-step: m_k times b.": F.normalize(
            without, dim=0
        ),
        "those bases are of u: W has to be applied to the sums.": (
            F.normalize(u @ z, dim=0)
        ),
        "the old bases came back.": mu,
    }


@exercise("emanet-2", right="W met K bases, and never N positions.")
def _step(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns the new bases."
    for c, d, k, n in ((6, 6, 3, 40), (5, 5, 4, 33), (4, 4, 2, 50)):
        u = torch.rand(c, n, dtype=torch.float64)
        mu = F.normalize(torch.randn(d, k, dtype=torch.float64), dim=0)
        W = torch.randn(d, c, dtype=torch.float64)
        b = torch.randn(d, dtype=torch.float64)
        found = answer(u.clone(), mu.clone(), W.clone(), b.clone())
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, Tensor) or found.shape != (d, k):
            return f"a tensor of shape ({d}, {k}) is asked for, one a base."
        wanted = _wanted(u, mu, W, b)
        if torch.allclose(found, wanted, rtol=0, atol=1e-9):
            continue
        if torch.allclose(found, wanted, atol=1e-4):
            return "nearly: the official guards add 1e-6 to both divisors."
        for hint, mistaken in _mistakes(u, mu, W, b).items():
            if torch.allclose(found, mistaken, atol=1e-4):
                return hint
        return "not yet the bases of the formula: start with x, as written."
    c, d, k, n = 24, 48, 3, 4000
    large = (
        torch.rand(c, n, dtype=torch.float64),
        F.normalize(torch.randn(d, k, dtype=torch.float64), dim=0),
        torch.randn(d, c, dtype=torch.float64),
        torch.randn(d, dtype=torch.float64),
    )
    if allocations(answer, *large, backward=False).largest >= 8 * d * n:
        return (
            "right bases, but a tensor of D N numbers is made: apply W to "
            "the bases and to the sums."
        )
    return None
