"""Answers to the exercises on attention in a window: wrong and right."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def by_place(v: Tensor, w: Tensor, k: int, mode: str = "reflect") -> Tensor:
    (_, height, width), pad = v.shape, (k // 2,) * 4
    padded = F.pad(v[None], pad, mode=mode)[0]
    y = torch.zeros_like(v)
    for j in range(k * k):
        r, s = divmod(j, k)
        seen = padded[:, r : r + height, s : s + width]
        y += w[:, j].repeat(len(v) // len(w), 1, 1) * seen
    return y


def by_view(v: Tensor, w: Tensor, k: int) -> Tensor:
    padded = F.pad(v[None], (k // 2,) * 4, mode="reflect")[0]
    grouped = padded.unflatten(0, (-1, len(w)))
    height, width = v.shape[1:]
    y = sum(
        w[:, k * r + s] * grouped[..., r : r + height, s : s + width]
        for r in range(k)
        for s in range(k)
    )
    return y.flatten(0, 1)


def laid_out(v: Tensor, w: Tensor, k: int) -> Tensor:
    padded = F.pad(v[None], (k // 2,) * 4, mode="reflect")
    u = F.unfold(padded, k).view(-1, len(w), k * k, *v.shape[1:])
    return (w * u).sum(2).flatten(0, 1)


def in_blocks(v: Tensor, w: Tensor, k: int) -> Tensor:
    return by_place(v, w.repeat_interleave(len(v) // len(w), 0), k)


def zeros(v: Tensor, w: Tensor, k: int) -> Tensor:
    return by_place(v, w, k, "constant")


def repeated(v: Tensor, w: Tensor, k: int) -> Tensor:
    return by_place(v, w, k, "replicate")


def columns_first(v: Tensor, w: Tensor, k: int) -> Tensor:
    return by_place(v, w.unflatten(1, (k, k)).transpose(1, 2).flatten(1, 2), k)


def turned_round(v: Tensor, w: Tensor, k: int) -> Tensor:
    return by_place(v, w.flip(1), k)


def mean(v: Tensor, w: Tensor, k: int) -> Tensor:
    return by_place(v, w, k) / k**2


WRONG = {
    "san-1": [
        ((7, 16), "the pairwise one"),
        ((11, 36), "72,064"),
        ((16, 64), "projections cost something"),
        ((8, 16), "k is odd"),
        ((5, 9), "256 a place"),
        ((9, 81), "twice or more"),
        ((9, 16), "which are left"),
        (9, "two whole numbers"),
        ("ab", "two whole numbers"),
    ],
    "san-2": [
        (laid_out, "place by place"),
        (in_blocks, "groups in blocks"),
        (zeros, "the border is zero"),
        (repeated, "border pixel is repeated"),
        (columns_first, "column by column"),
        (turned_round, "turned round"),
        (mean, "a sum is asked for"),
        (lambda v, w, k: v, "not yet the sums"),
        (lambda v, w, k: by_place(v, w, k)[None], "the shape of v"),
        (0.5, "a function is asked for"),
    ],
}
RIGHT = {
    "san-1": [(9, 25), [9, 25], np.array([9, 25]), torch.tensor([9, 25])],
    "san-2": [by_place, by_view],
}
