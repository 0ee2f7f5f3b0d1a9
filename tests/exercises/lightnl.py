"""Answers to the exercises on LightNL: wrong and right."""

from __future__ import annotations

import math

import numpy as np
import torch


def sizes(
    height: int, width: int, c: int, r: float, t: int
) -> tuple[int, int, int]:
    keys = math.ceil(height / t) * math.ceil(width / t)
    return height * width, keys, math.floor(r * c)


def bill(height: int, width: int, c: int, r: float, t: int) -> int:
    n, m, d = sizes(height, width, c, r, t)
    return min(n * m * (d + c), (n + m) * d * c)


def by_shapes(height: int, width: int, c: int, r: float, t: int) -> int:
    x = torch.empty(c, height, width, device="meta")
    v = x[:, ::t, ::t].flatten(1)
    q, k = x[: int(r * c)].flatten(1), v[: int(r * c)]
    left = q.numel() * k.shape[1] + q.shape[1] * v.numel()
    right = k.shape[0] * v.numel() + q.numel() * v.shape[0]
    return left if left < right else right


def whole_share(height: int, width: int, c: int, r: float, t: int) -> float:
    n, m, _ = sizes(height, width, c, r, t)
    return min(n * m * c * (1 + r), (n + m) * c * c * r)


def rounded(height: int, width: int, c: int, r: float, t: int) -> int:
    n, m, _ = sizes(height, width, c, r, t)
    d = round(r * c)
    return min(n * m * (d + c), (n + m) * d * c)


def floor_of_keys(height: int, width: int, c: int, r: float, t: int) -> int:
    n, _, d = sizes(height, width, c, r, t)
    m = (height // t) * (width // t)
    return min(n * m * (d + c), (n + m) * d * c)


def fewer_queries(height: int, width: int, c: int, r: float, t: int) -> int:
    _, m, d = sizes(height, width, c, r, t)
    return min(m * m * (d + c), 2 * m * d * c)


def dearer(height: int, width: int, c: int, r: float, t: int) -> int:
    n, m, d = sizes(height, width, c, r, t)
    return max(n * m * (d + c), (n + m) * d * c)


def the_map(height: int, width: int, c: int, r: float, t: int) -> int:
    n, m, d = sizes(height, width, c, r, t)
    return n * m * (d + c)


def the_matrix(height: int, width: int, c: int, r: float, t: int) -> int:
    n, m, d = sizes(height, width, c, r, t)
    return (n + m) * d * c


def with_filters(height: int, width: int, c: int, r: float, t: int) -> int:
    return bill(height, width, c, r, t) + 9 * height * width * c


WRONG = {
    "lightnl-1": [
        ((5 / 6, 2 / 3), "mind the sign"),
        ((-2.5, -2), "not by the keys"),
        ((-7.5, -6), "the bracket is missing"),
        ((-5, -4), "divide them by H W"),
        ((-2, -1), "that is step 1"),
        ((1, 1), "positions 0 and 2"),
        (3, "two numbers"),
        ("ab", "two numbers"),
    ],
    "lightnl-2": [
        (whole_share, "whole part of r C"),
        (rounded, "cut off, not rounded"),
        (floor_of_keys, "rounded up"),
        (fewer_queries, "queries stay"),
        (dearer, "the dearer one"),
        (the_map, "the map is not always"),
        (the_matrix, "the small matrix is not always"),
        (with_filters, "leave the filters out"),
        (lambda *shape: 2 * bill(*shape), "counts once"),
        (lambda *shape: 1, "count N, M and d first"),
        (lambda *shape: None, "in place of the dots"),
        (1, "a function is asked for"),
    ],
    "lightnl-3": [
        (1.6e-2, "the other way: the official"),
        (2.5e-4, "the square of the factor"),
        (4e-3, "the other way, and"),
        (1e-3, "leaves the official block"),
        (0.5, "by which factor"),
        ("small", "one number"),
    ],
}
RIGHT = {
    "lightnl-1": [
        (-5 / 6, -2 / 3),
        [-0.8333, -0.6667],
        np.array([-5, -4]) / 6,
    ],
    "lightnl-2": [bill, by_shapes],
    "lightnl-3": [6.25e-5, 1e-3 / 16, torch.tensor(1e-3) / 4**2],
}
