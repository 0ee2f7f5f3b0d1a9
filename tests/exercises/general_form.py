"""Answers to the exercises on the general form: wrong and right."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from attnlib.functional import concatenation_attention

Form = Callable[[Tensor, Tensor, Tensor], Tensor]


def by_identity(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """|t| = 2 ReLU(t) - t, with the library's sort."""
    plain = a[:, None] * v.mean(0) + (b[:, None] * v).mean(0)
    return 2 * concatenation_attention(a, b, v) - plain


def by_two_sides(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """Prefix sums: what is right of the cut minus what is left of it."""
    b, order = b.sort()
    v = v[order]
    zero = torch.zeros(1, v.shape[1], dtype=v.dtype)
    sums = torch.cat([zero, v.cumsum(0)])
    moments = torch.cat([zero, (b[:, None] * v).cumsum(0)])
    place = torch.searchsorted(b, -a)
    right = sums[-1] - 2 * sums[place]
    return (a[:, None] * right + moments[-1] - 2 * moments[place]) / len(b)


def by_bisection(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """A loop over queries in plain Python, two look-ups each."""
    b, order = b.sort()
    v = v[order]
    zero = torch.zeros(1, v.shape[1], dtype=v.dtype)
    sums = torch.cat([zero, v.cumsum(0)]).tolist()
    moments = torch.cat([zero, (b[:, None] * v).cumsum(0)]).tolist()
    keys, rows = b.tolist(), []
    for a_i in a.tolist():
        place = bisect.bisect_left(keys, -a_i)
        row = []
        for column in range(v.shape[1]):
            right = sums[-1][column] - 2 * sums[place][column]
            moment = moments[-1][column] - 2 * moments[place][column]
            row.append(a_i * right + moment)
        rows.append(row)
    return torch.tensor(rows) / len(b)


def by_query(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """A loop over queries with PyTorch, a look-up each."""
    b, order = b.sort()
    terms = torch.cat([v[order], (b[:, None] * v[order])], dim=1)
    zero = torch.zeros_like(terms[:1])
    left = torch.cat([zero, terms.cumsum(0)])
    rows = []
    for a_i in a:
        S, T = (left[-1] - 2 * left[torch.searchsorted(b, -a_i)]).chunk(2)
        rows.append((a_i * S + T) / len(b))
    return torch.stack(rows)


def in_numpy(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return torch.from_numpy(by_two_sides(a, b, v).numpy())


def outer(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return (a[:, None] + b).abs() @ v / len(b)


def outer_in_numpy(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    import numpy as np

    table = np.abs(a.numpy()[:, None] + b.numpy())
    return torch.from_numpy(table @ v.numpy() / len(b))


def a_row_at_a_time(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return torch.stack([(a_i + b).abs() @ v / len(b) for a_i in a])


def in_numpy_parts(a: Tensor, b: Tensor, v: Tensor, rows: int) -> Tensor:
    import numpy as np

    keys, values = b.numpy(), v.numpy()
    parts = [
        np.abs(part[:, None] + keys) @ values / len(b)
        for part in np.split(a.numpy(), range(rows, len(a), rows))
    ]
    return torch.from_numpy(np.concatenate(parts))


def a_pair_at_a_time(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    keys, values, rows = b.tolist(), v.T.tolist(), []
    for a_i in a.tolist():
        weights = [abs(a_i + b_j) for b_j in keys]
        rows.append([sum(map(float.__mul__, weights, w)) for w in values])
    return torch.tensor(rows) / len(b)


def in_one_vmap(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return torch.vmap(lambda a_i: (a_i + b).abs() @ v / len(b))(a)


def unsorted_values(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return outer(a, b.sort().values, v)


def scaled(form: Form, factor: Callable[[Tensor, Tensor], float]) -> Form:
    return lambda a, b, v: form(a, b, v) * factor(a, b)


def line(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return (a[:, None] + b) @ v / len(b)


def untouched(*_: object) -> None: ...


WRONG = {
    "form-1": [
        ((4, 2), "what f alone does"),
        ([8, 8], "not multiplied with each other"),
        ((8, 2), "has an h, too"),
        ((8, 3), "ReLU(2 t)"),
        ((3, 2), "counted doublings"),
        ((6, 4), "how many projections"),
        ((4, 8), "mind the order"),
        (8, "two numbers are wanted"),
        ("84", "two numbers are wanted"),
        ({8, 4}, "two numbers are wanted"),
        ((..., ...), "two numbers are wanted"),
    ],
    "form-3": [
        (untouched, "in place of the dots"),
        (concatenation_attention, "sums of the ReLU"),
        (line, "nothing bends"),
        (scaled(concatenation_attention, lambda a, b: 2), "twice the ReLU"),
        (
            lambda a, b, v: (
                2 * concatenation_attention(a, b, v) + line(a, b, v)
            ),
            "wrong sign",
        ),
        (scaled(by_identity, lambda a, b: len(b)), "normaliser is missing"),
        (
            scaled(by_identity, lambda a, b: len(b) / len(a)),
            "number of queries or that of keys",
        ),
        (unsorted_values, "do the values move along"),
        (scaled(by_identity, lambda a, b: 1.5), "must give 5 y = 18"),
        (lambda a, b, v: by_identity(a, b, v)[:, 0], "y should be (7, 3)"),
        (outer, "28.8 GB"),
        (in_one_vmap, "28.8 GB"),
        (outer_in_numpy, "28.8 GB"),
        (a_row_at_a_time, "all pairs are gone through"),
        (a_pair_at_a_time, "all pairs are gone through"),
        (partial(in_numpy_parts, rows=1), "all pairs are gone through"),
        (partial(in_numpy_parts, rows=30), "all pairs are gone through"),
    ],
    "form-4": [
        (untouched, "in place of the dots"),
        (lambda s, t, beta: (-beta * t).exp(), "becomes the minimum"),
        (lambda s, t, beta: 1.0, "y stays the mean"),
        (lambda s, t, beta: (beta * t.abs()).exp(), "mind the signs"),
        (lambda s, t, beta: (-beta * (s - t) ** 2).exp(), "hears itself"),
        (lambda s, t, beta: (beta * s * t).exp(), "what is x_i"),
        (lambda s, t, beta: t.exp(), "but y stays at"),
        (lambda s, t, beta: (20 * t).exp(), "same for every beta"),
        (lambda s, t, beta: (1e3 * t - 500).exp(), "same for every beta"),
        (lambda s, t, beta: (min(beta, 50) * t).exp(), "differ by 0.01"),
        (lambda s, t, beta: t.relu() ** beta, "y is no number"),
        (lambda s, t, beta: beta * 0, "y is no number"),
    ],
    "form-5": [
        ((0.0842, 100), "before the division"),
        ((8, 100), "before the division"),
        ((0.5, 100), "stands on the diagonal"),
        ((0.99, 81), "power of ten"),
        ((0.99, 10), "less than half"),
        ((0.99, 1000), "smaller power of ten"),
        (0.99, "two numbers are wanted"),
    ],
}
RIGHT = {
    "form-1": [
        (8, 4),
        [8.0, 4.0],
        (8.0000001, 4),
        (7.9998, torch.tensor(4.0002)),
        torch.tensor([8, 4]),
        torch.tensor([8.0, 4.0], dtype=torch.float32).numpy(),
    ],
    "form-3": [by_identity, by_two_sides, by_bisection, by_query, in_numpy],
    "form-4": [
        lambda s, t, beta: (beta * t).exp(),
        lambda s, t, beta: math.exp(beta * t),
        lambda s, t, beta: (beta * (t - s)).exp(),
        lambda s, t, beta: (2 + t) ** beta,
        lambda s, t, beta: beta ** (50 * t.item()),
        lambda s, t, beta: (beta * (t - 1)).exp(),
        lambda s, t, beta: beta**t,
        lambda s, t, beta: (500 * beta * t).exp(),
        lambda s, t, beta: (beta * t**3).exp(),
        lambda s, t, beta: (t + 1) ** beta,
    ],
    "form-5": [
        (0.9861, 100),
        (99, 100.0),
        (0.970, 100),  # in float32
        torch.tensor([1.0, 100]),
    ],
}
