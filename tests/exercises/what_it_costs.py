"""Answers to the exercises on cost: wrong and right."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attnlib.functional import softmax_attention


def tokens(t: Tensor) -> Tensor:
    return t.flatten(2).transpose(1, 2)


def back(y: Tensor, v: Tensor) -> Tensor:
    return y.transpose(1, 2).reshape(v.shape)


def peak(n: int, m: int, d: int, dv: int) -> int:
    pairs, rest = n * m, (n + m) * dv + 2
    return 4 * (max(3 * pairs, pairs + (n + m) * d) + rest)


def peak_step_by_step(n: int, m: int, d: int, dv: int) -> float:
    alive = [2 * n * m, n * m + n * dv]
    behind = n * dv + m * dv
    alive += [2 * n * m + behind, 3 * n * m + behind]
    alive += [n * m + behind + (n + m) * d]
    return 4.0 * max(alive)


def three_maps(n: int, m: int, d: int, dv: int) -> int:
    return 4 * (3 * n * m + (n + m) * dv + 2)


def padded(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    width = max(query.shape[1], value.shape[1], 2)
    q, k, v = (
        F.pad(tokens(t)[:, None].contiguous(), (0, width - t.shape[1]))
        for t in (query, key, value)
    )
    y = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return back(y[:, 0, :, : value.shape[1]], value)


def by_channels(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Zero channels first, then a copy in another order of axes."""
    width = max(query.shape[1], value.shape[1]) + 1
    q, k, v = (
        F.pad(t, (0, 0, 0, 0, 0, width - t.shape[1]))
        .permute(0, 2, 3, 1)
        .contiguous()
        .view(len(t), 1, -1, width)
        for t in (query, key, value)
    )
    y = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return back(y[:, 0, :, : value.shape[1]], value)


def library(impl: str):
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        y = softmax_attention(*map(tokens, (query, key, value)), impl=impl)
        return back(y, value)

    return attend


def transposed(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = map(tokens, (query, key, value))
    y = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return back(y, value)


def with_heads(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = (tokens(t)[:, None] for t in (query, key, value))
    y = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return back(y[:, 0], value)


def copied(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = (tokens(t)[:, None].contiguous() for t in (query, key, value))
    y = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return back(y[:, 0], value)


def width_one_lost(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    width = max(query.shape[1], value.shape[1])
    if width == 1:
        return copied(query, key, value)
    return padded(query, key, value)


def default_scale(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    width = max(query.shape[1], value.shape[1], 2)
    q, k, v = (
        F.pad(tokens(t)[:, None].contiguous(), (0, width - t.shape[1]))
        for t in (query, key, value)
    )
    y = F.scaled_dot_product_attention(q, k, v)
    return back(y[:, 0, :, : value.shape[1]], value)


def detached(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return padded(query, key.detach(), value)


def folded_wrongly(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    y = softmax_attention(*map(tokens, (query, key, value)), impl="sdpa")
    return y.reshape(value.shape)


WRONG = {
    "what_it_costs-1": [
        ((215, 256), "one map fits"),
        ([181, 215], "the forward pass alone"),
        ((152, 181), "the scores are gone"),
        ((231, 275), "How many bytes has a number"),
        ((137, 163), "float64"),
        ((160, 191), "2**30"),
        (torch.tensor([164.0, 195.0]), "rounded up"),
        ((26754, 37837), "that is N"),
        ((163, 326), "fourth power"),
        ((163, 230), "And the side"),
        ((163, 200), "8 GiB is right"),
        ((100, 141), "round down"),
        (163, "two whole numbers"),
        (("a", "b"), "two whole numbers"),
    ],
    "what_it_costs-2": [
        (lambda n, m, d, dv: peak(n, m, d, dv) // 4, "four bytes"),
        (lambda n, m, d, dv: 2 * peak(n, m, d, dv), "float64"),
        (three_maps, "which tensors does the last step write"),
        (lambda n, m, d, dv: 12 * n * m, "the output and the gradient"),
        (
            lambda n, m, d, dv: peak(n, m, d, dv) - 4 * n * m,
            "1 map(s) more",
        ),
        (
            lambda n, m, d, dv: peak(n, m, d, dv) + 4 * n * m,
            "1 map(s) fewer",
        ),
        (lambda n, m, d, dv: peak(n, n, d, dv), "the count is"),
        (lambda n, m, d, dv: 8 * n * m, "the count is"),
        (lambda n, m, d, dv: "much", "one number comes back"),
        (50_000, "a function of N, M, d and dv"),
    ],
    "what_it_costs-3": [
        (transposed, "even for equal widths"),
        (with_heads, "even for equal widths"),
        (library("reference"), "even for equal widths"),
        (copied, "Zeros change no product"),
        (width_one_lost, "print the strides there"),
        (default_scale, "which PyTorch takes unless it is told"),
        (detached, "wrong gradients"),
        (folded_wrongly, "differ from the formula's"),
        (lambda q, k, v: tokens(v), "of the values' shape"),
        (lambda q, k, v: v, "differ from the formula's"),
        (torch.zeros(3), "a function is asked for"),
    ],
    "what_it_costs-4": [
        ([8, 8, 8, 8], "without checkpoints"),
        ([3, 3, 3, 3], "run again as a whole"),
        ([1, 2, 3, 6], "Which two come on top"),
        ([2, 3, 4, 7], "one is missing"),
        ([8, 5, 4, 3], "the other way round"),
        ([3, 4, 5, 6], "round down"),
        ([3, 4, 5], "four whole numbers"),
        (3, "four whole numbers"),
    ],
}
RIGHT = {
    "what_it_costs-1": [
        (163, 194),
        [163.0, 194.0],
        torch.tensor([163, 194]),
        np.array([math.isqrt(26754), math.isqrt(37837)]),
    ],
    "what_it_costs-2": [peak, peak_step_by_step],
    "what_it_costs-3": [padded, by_channels, library("sdpa")],
    "what_it_costs-4": [
        [3, 4, 5, 8],
        (3.14, 4.1, 5.1, 8.14),
        torch.tensor([3, 4, 5, 8]),
    ],
}
