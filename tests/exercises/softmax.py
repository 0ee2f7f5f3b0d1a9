"""Answers to the exercises on softmax: plausible mistakes, right ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

Pairs = Iterable[tuple[Tensor, Tensor]]


def online(
    *,
    start: float = -math.inf,
    rescale: bool = True,
    divide: bool = True,
    scale: float = 1.0,
) -> Callable[[Tensor, Pairs], Tensor]:
    def attend(query: Tensor, pairs: Pairs) -> Tensor:
        m, z, y = torch.tensor(start).double(), 0.0, 0.0
        for key, value in pairs:
            s = scale * (query @ key)
            top = torch.maximum(m, s)
            if rescale:
                z, y = z * (m - top).exp(), y * (m - top).exp()
            z, y = z + (s - top).exp(), y + (s - top).exp() * value
            m = top
        return y / z if divide else y

    return attend


def forgets_outputs(query: Tensor, pairs: Pairs) -> Tensor:
    m, z, y = -math.inf, 0.0, 0.0
    for key, value in pairs:
        s = float(query @ key)
        top = max(m, s)
        z = z * math.exp(m - top) + math.exp(s - top)
        y = y + math.exp(s - top) * value
        m = top
    return y / z


def no_maximum(query: Tensor, pairs: Pairs) -> Tensor:
    z, y = 0.0, 0.0
    for key, value in pairs:
        f = math.exp(query @ key)
        z, y = z + f, y + f * value
    return y / z


def keeps_all(query: Tensor, pairs: Pairs) -> Tensor:
    keys, values = map(torch.stack, zip(*pairs, strict=True))
    return (keys @ query).softmax(0) @ values


def reads_twice(query: Tensor, pairs: Pairs) -> Tensor:
    m = max(query @ key for key, _ in pairs)
    z, y = 0.0, 0.0
    for key, value in pairs:
        f = (query @ key - m).exp()
        z, y = z + f, y + f * value
    return y / z


def averages(query: Tensor, pairs: Pairs) -> Tensor:
    return sum(value for _, value in pairs) / 9


def three_numbers(query: Tensor, pairs: Pairs) -> Tensor:
    y = online()(query, pairs)
    return y, torch.zeros(3), torch.zeros(3)


def merges(query: Tensor, pairs: Pairs) -> Tensor:
    """The other way to write it: an output and its log-sum-exp."""
    total, y = None, None
    for key, value in pairs:
        s = query @ key
        if y is None:
            total, y = s, value
            continue
        share = (s - total).sigmoid()
        total, y = torch.logaddexp(total, s), y + share * (value - y)
    return y


def branches(query: Tensor, pairs: Pairs) -> list[float]:
    """Rescales only when a new maximum arrives; plain numbers."""
    pairs = iter(pairs)
    key, value = next(pairs)
    m, z, y = float(query @ key), 1.0, value.tolist()
    for key, value in pairs:
        s = float(query @ key)
        if s > m:
            shrink, m = math.exp(m - s), s
            z, y = z * shrink, [part * shrink for part in y]
        f = math.exp(s - m)
        z += f
        y = [a + f * b for a, b in zip(y, value.tolist(), strict=True)]
    return [part / z for part in y]


def in_numpy(query: Tensor, pairs: Pairs) -> np.ndarray:
    q, m, z, y = query.numpy(), -np.inf, 0.0, 0.0
    for key, value in pairs:
        s = q @ key.numpy()
        top = np.maximum(m, s)
        f, shrink = np.exp(s - top), np.exp(m - top)
        m, z, y = top, z * shrink + f, y * shrink + f * value.numpy()
    return y / z


def filled(low: float, *, multiply: bool = True) -> Callable:
    def masked(scores: Tensor, allowed: Tensor) -> Tensor:
        A = scores.masked_fill(~allowed, low).softmax(-1)
        return A * allowed if multiply else A

    return masked


def in_place(scores: Tensor, allowed: Tensor) -> Tensor:
    scores[~allowed] = torch.finfo(scores.dtype).min
    return scores.softmax(-1) * allowed


def renormalised(scores: Tensor, allowed: Tensor) -> Tensor:
    A = scores.softmax(-1) * allowed
    return A / A.sum(-1, keepdim=True).clamp_min(1e-30)


def bias_then_overwrite(scores: Tensor, allowed: Tensor) -> Tensor:
    low = torch.zeros_like(scores).masked_fill(~allowed, -math.inf)
    return (scores + low).softmax(-1).nan_to_num(0)


def fill_then_overwrite(scores: Tensor, allowed: Tensor) -> Tensor:
    """Right: the backward of masked_fill writes zeros into the row."""
    A = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    return A.nan_to_num(0)


def safe_rows(scores: Tensor, allowed: Tensor) -> Tensor:
    some = allowed.any(-1, keepdim=True)
    return scores.masked_fill(~allowed & some, -math.inf).softmax(-1) * some


def exponentials(scores: Tensor, allowed: Tensor) -> Tensor:
    rows = []
    for s, may in zip(scores, allowed, strict=True):
        row = torch.zeros(len(s), dtype=s.dtype)
        if may.any():
            f = (s[may] - s[may].max()).exp()
            row = row.masked_scatter(may, f / f.sum())
        rows.append(row)
    return torch.stack(rows)


lowest = torch.finfo(torch.float64).min
WRONG = {
    "softmax-1": [
        ([0.1, 0.3, 0.6], "those are the weights"),
        ([0.1, 0, 0], "from its average first"),
        ([0.9, -0.1, -0.1], "one factor is still missing"),
        ([0.1 * 2 / 3, -0.1, -0.2], "a weighted one"),
        ([-0.09, 0.03, 0.06], "wrong sign"),
        ([0.9, -0.3, -0.6], "right direction"),
        ([0.09, 0.03, 0.06], "do not sum to zero"),
        ([0.09, -0.09], "one a score, not 2"),
        (0.09, "one a score, not 1"),
        ((..., ..., ...), "in place of the dots"),
        (lambda p, u: p, "three numbers"),
        (np.array([[0.1], [0.3], [0.6]]), "those are the weights"),
        ([0.2, -0.4, 0.2], "begin with the weights"),
    ],
    "softmax-3": [
        (online(rescale=False), "older sums"),
        (forgets_outputs, "older sums"),
        (online(divide=False), "what is it divided by"),
        (online(scale=0.5), "the scale is 1"),
        (online(start=0.0), "-1,000,000: with which maximum"),
        (online(start=-1e4), "-1,000,000: with which maximum"),
        (no_maximum, "1,000,000: which exponential"),
        (reads_twice, "can be read once"),
        (averages, "where do the scores enter"),
        (three_numbers, "yours has 9"),
        (lambda query, pairs: ..., "in place of the dots"),
        (lambda query, pairs: np.zeros(2), "yours has 2"),
        (keeps_all, "held at once"),
    ],
    "softmax-4": [
        (filled(-math.inf), "is nan"),
        (filled(lowest, multiply=False), "not zero. What do equal"),
        (filled(-1e4), "does forbidden still mean never"),
        (renormalised, "does forbidden still mean never"),
        (filled(0.0, multiply=False), "a score of 0"),
        (lambda s, a: (s * a).softmax(-1), "a score of 0"),
        (lambda s, a: s.softmax(-1), "a weight that is not zero"),
        (lambda s, a: s.softmax(-1) * a, "in the denominator"),
        (lambda s, a: filled(lowest)(s.T, a.T).T, "along which axis"),
        (lambda s, a: filled(lowest)(s, ~a), "the roles are swapped"),
        (in_place, "writes into the scores"),
        (bias_then_overwrite, "the gradient is nan"),
        (lambda s, a: filled(lowest)(s.detach(), a), "no gradient can pass"),
        (lambda s, a: filled(lowest)(s, a)[0], "of the shape"),
    ],
}
RIGHT = {
    "softmax-1": [
        (0.09, -0.03, -0.06),
        torch.tensor([[0.09, -0.03, -0.06]]),
        [Fraction(9, 100), Fraction(-3, 100), Fraction(-6, 100)],
        [[0.09], [-0.03], [-0.06]],
        np.array([[0.09], [-0.03], [-0.06]]),
        [torch.tensor(0.09, requires_grad=True), -0.03, np.float32(-0.06)],
    ],
    "softmax-3": [online(), merges, branches, in_numpy],
    "softmax-4": [
        filled(lowest),
        filled(-1e9),
        fill_then_overwrite,
        safe_rows,
        exponentials,
    ],
}
