"""Answers to the exercises on A2-Net: wrong and right."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

FIRST = torch.tensor([1.0, 1, 4, 2, 1, 1]) / 10


def by_ones(f):
    """Look at the height of ones, on a batch of one."""
    b, v = torch.randn(2, 1, 3, 10)
    height = f(torch.ones(1, 2, 10), b, v).mean().item()
    heights = {"block": 1, "twice": 0.3, "mean": 0.03, "batch": 30}
    return min(heights, key=lambda name: abs(heights[name] - height))


def by_comparison(f):
    """Compare with the four, in a batch."""
    a, b, v = torch.randn(3, 2, 4, 9)
    twice = a @ b.softmax(-1).mT @ v.softmax(-1)
    forms = {
        "block": a @ b.softmax(-1).mT @ v.softmax(-2),
        "twice": twice,
        "mean": twice / 9,
        "batch": a @ b.softmax(0).mT @ v.softmax(0),
    }
    return next(k for k, z in forms.items() if torch.allclose(f(a, b, v), z))


def ones_only(f):
    b, v = torch.randn(2, 2, 3, 10)
    ones = torch.ones(2, 2, 10)
    return "block" if f(ones, b, v).allclose(ones) else "twice"


def batch_only(f):
    a, b, v = torch.randn(3, 2, 4, 9)
    same = f(a, b, v)[:1].allclose(f(a[:1], b[:1], v[:1]))
    return "block" if same else "batch"


def never_batch(f):
    found = by_ones(f)
    return "block" if found == "batch" else found


def orders(N, C, m, n, before=None, behind=None):
    ways = (N * C * m + N * m * n, N * C * n + n * C * m)
    first = min(ways) if before is None else ways[before]
    second = min(ways) if behind is None else ways[behind]
    return 2 * n * C * N + first + second


def unfolded(N, C, m, n):
    return orders(N, C, m, n, 0, 0)


def folded(N, C, m, n):
    return orders(N, C, m, n, 1, 1)


def best_of_two(N, C, m, n):
    plain = N * C * (2 * m + 2 * n) + 2 * N * m * n
    return min(plain, 4 * n * C * N + 2 * n * m * C)


WRONG = {
    "a2net-1": [
        (0.25 * FIRST + 0.75 / 6, "the jars are swapped"),
        (0.5 * FIRST + 0.5 / 6, "that is row 0"),
        (FIRST, "the first jar alone"),
        ([14, 14, 41, 23, 14, 14], "sums to one"),
        ([1 / 6] * 6, "mix the two rows"),
        ([0.1, 0.2], "six numbers"),
        ("much", "six numbers"),
    ],
    "a2net-2": [
        (ones_only, "n/N or n/N^2"),
        (batch_only, "send ones through it"),
        (never_batch, "when the others leave"),
        (lambda f: "block", "send ones through it"),
        (lambda f: "right", 'the answer is "block"'),
        (F.softmax, "raised"),
        ("block", "a function is asked for"),
    ],
    "a2net-3": [
        (unfolded, "cheaper to pool first"),
        (folded, "not to move anything"),
        (lambda *s: 2 * best_of_two(*s), "these are FLOPs"),
        (
            lambda N, C, m, n: best_of_two(N, C, m, n) - 2 * n * C * N,
            "the scores b and v",
        ),
        (
            lambda N, C, m, n: (best_of_two(N, C, m, n) + 2 * n * C * N) // 2,
            "before and behind",
        ),
        (lambda N, C, m, n: N, "Count b and v"),
        (lambda N, C, m, n: "few", "one number comes back"),
        (1, "a function of N, C, m and n"),
    ],
}
RIGHT = {
    "a2net-1": [
        0.75 * FIRST + 0.25 / 6,
        [14 / 120, 14 / 120, 41 / 120, 23 / 120, 14 / 120, 14 / 120],
        np.array([0.1167, 0.1167, 0.3417, 0.1917, 0.1167, 0.1167]),
    ],
    "a2net-2": [by_ones, by_comparison],
    "a2net-3": [orders, best_of_two],
}
