"""Checks of the chapter on criss-cross attention, ``ccnet-1`` and ``-2``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise


@exercise("ccnet-1", right="three coordinates change, in any order.")
def _ways(answer: Any) -> str | None:
    hints = {
        6: None,
        1: "one order of the coordinates gives one way: are there others?",
        2: "that is a picture. A clip has a third coordinate to change.",
        3: "the first pass may change any of three. And the second?",
        8: "each coordinate has to change, and each pass changes one.",
        27: "a coordinate that changes twice leaves another unchanged.",
    }
    try:
        number = float(answer)
    except (TypeError, ValueError):
        return "a number is asked for."
    return hints.get(  # type: ignore[call-overload]
        number, "write the way as the order in which coordinates change."
    )


def _shares(n: int, width: int, size: float) -> tuple[Tensor, ...]:
    """Return scores, values and the two shares that they are cut into."""
    scores = size * torch.randn(n, 9, dtype=torch.float64)
    values = torch.randn(n, 9, width, dtype=torch.float64)
    parts = []
    for cut in (slice(4), slice(4, None)):
        s, v = scores[:, cut], values[:, cut]
        parts += [(s.softmax(1)[:, None] @ v)[:, 0], s.logsumexp(1)]
    mean = (scores.softmax(1)[:, None] @ values)[:, 0]
    return mean, scores.logsumexp(1), *parts


def _hint(mean: Tensor, m1: Tensor, l1: Tensor, m2: Tensor, l2: Tensor) -> str:
    """Return what a wrong mean looks like."""
    share = (l1 - l2).sigmoid()[:, None]
    known = {
        "the shares weigh the same only if their log-sum-exps are equal.": (
            m1 + m2
        )
        / 2,
        "the shares are exchanged: the larger log-sum-exp weighs more.": (
            (1 - share) * m1 + share * m2
        ),
        "weigh by exp(l), the sums of exponentials, not by l.": (
            (l1[:, None] * m1 + l2[:, None] * m2) / (l1 + l2)[:, None]
        ),
        "divide by both sums of exponentials together.": (
            l1.exp()[:, None] * m1 + l2.exp()[:, None] * m2
        ),
    }
    for hint, wrong in known.items():
        if torch.allclose(mean, wrong):
            return hint
    return "not yet the mean of the whole: start with the two numerators."


@exercise("ccnet-2", right="the difference of two log-sum-exps decides alone.")
def _merge(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns a mean and a log-sum-exp."
    for n, width, size in ((6, 3, 1.0), (1, 2, 1.0), (5, 4, 1000.0)):
        mean, total, *parts = _shares(n, width, size)
        found = answer(*(t.clone() for t in parts))
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, tuple) or len(found) != 2:
            return "return two tensors, as in `return mean, level`."
        y, level = found
        if not isinstance(y, Tensor) or y.shape != mean.shape:
            return f"the mean must be a tensor of shape {tuple(mean.shape)}."
        if not isinstance(level, Tensor) or level.shape != total.shape:
            shape = tuple(total.shape)
            return f"the log-sum-exp must be a tensor of shape {shape}."
        if not (y.isfinite().all() and level.isfinite().all()):
            return "exp(l) leaves float64 at large l: use the difference."
        if not torch.allclose(y, mean):
            return _hint(y, *parts)
        if not torch.allclose(level, total):
            return "right mean; the log-sum-exp of the whole is another one."
    mean, total = torch.randn(4, 2).double(), torch.randn(4).double()
    nothing = torch.full((4,), -torch.inf, dtype=torch.float64)
    for parts in (
        [mean, total, torch.zeros_like(mean), nothing],
        [torch.zeros_like(mean), nothing, mean, total],
    ):
        y, level = answer(*parts)
        if not (torch.allclose(y, mean) and torch.allclose(level, total)):
            return "an empty share, l = -inf, must leave the other as it is."
    return None
