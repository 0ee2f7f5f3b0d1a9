"""Checks of the chapter on polarized self-attention, ``psa-1`` and ``-2``."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise
from attnlib.memory import allocations

LOW, HIGH = math.tanh(0.5) / 2, 0.25  # of one softmax


def _pair(answer: Any) -> tuple[float, float] | None:
    """Return an answer of two numbers, or None."""
    try:
        first, second = (float(number) for number in answer)
    except (TypeError, ValueError):
        return None
    return first, second


def _near(found: tuple[float, float], wanted: tuple[float, float]) -> bool:
    return all(abs(a - b) < 6e-4 for a, b in zip(found, wanted, strict=True))


@exercise("psa-1", right="two heads, two quarters, and no N anywhere.")
def _ends(answer: Any) -> str | None:
    if (found := _pair(answer)) is None:
        return "two numbers are asked for: (smallest, largest)."
    if _near(found, (2 * LOW, 2 * HIGH)):
        return None
    hints = (
        ((LOW, HIGH), "that is one softmax; here there are two."),
        ((2 * HIGH, 2 * LOW), "the other way round: the smallest first."),
        (
            (0.0, 2 * HIGH),
            "0.5 is right. Below, the sigmoid lies above a chord: what does "
            "p = 1 at a single position give?",
        ),
        (
            (2 / (1 + math.exp(-1)), 1.5),
            "these are gates, not what they exceed one half by.",
        ),
        (
            (math.tanh(1) / 2, 2 * HIGH),
            "each softmax has a sigmoid of its own: add after the sigmoid.",
        ),
    )
    for wrong, hint in hints:
        if _near(found, wrong):
            return hint
    if abs(found[1] - 2 * HIGH) < 6e-4:
        return "the largest is right. And if all weight sits on one position?"
    return "apply the chapter's bound to each head, then add."


def _wanted(
    x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor
) -> Tensor:
    """Return t as the paper's figure has it."""
    g = (G @ x + b_G[:, None]).mean(1).softmax(0)
    return g @ (T @ x + b_T[:, None])


def _mistakes(
    x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor
) -> dict[str, Tensor]:
    """What a wrong idea would give, by the hint against it."""
    t = _wanted(x, G, b_G, T, b_T)
    mean = G @ x.mean(1)
    theta = T @ x + b_T[:, None]
    return {
        "these are the numbers t: the sigmoid is missing.": t,
        "that is the official code: the softmax belongs to g, over its d "
        "channels.": ((mean + b_G) @ theta).softmax(0).sigmoid(),
        "where is the softmax of g?": ((mean + b_G) @ theta).sigmoid(),
        "the bias of G is missing.": (mean.softmax(0) @ theta).sigmoid(),
        "the bias of Theta is missing: what is g . b?": (
            t - (mean + b_G).softmax(0) @ b_T
        ).sigmoid(),
        "the bias of Theta enters once, as g . b: not as its sum or mean.": (
            t - (mean + b_G).softmax(0) @ b_T + b_T.mean()
        ).sigmoid(),
    }


@exercise(
    "psa-2", right="the same gates, and nothing larger than t was ever made."
)
def _gate(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns one gate a position."
    for channels, d, n in ((6, 3, 40), (12, 6, 33), (5, 2, 1)):
        x = torch.randn(channels, n, dtype=torch.float64)
        G, T = torch.randn(2, d, channels, dtype=torch.float64)
        b_G, b_T = torch.randn(2, d, dtype=torch.float64)
        inputs = x, G, b_G, T, b_T
        found = answer(*(t.clone() for t in inputs))
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, Tensor) or found.shape != (n,):
            return f"a tensor of shape ({n},) is asked for, one gate each."
        if torch.allclose(found, _wanted(*inputs).sigmoid()):
            continue
        for hint, mistaken in _mistakes(*inputs).items():
            if torch.allclose(found, mistaken):
                return hint
        return "not yet the gates of the formula: start with t, as written."
    channels, d, n = 16, 8, 4000
    sizes = (channels, n), (d, channels), (d,), (d, channels), (d,)
    large = [torch.randn(size, dtype=torch.float64) for size in sizes]
    if allocations(answer, *large, backward=False).largest >= 8 * d * n:
        return (
            "right gates, but a tensor of d N numbers is made: pool before "
            "you project, and multiply g with Theta first."
        )
    return None
