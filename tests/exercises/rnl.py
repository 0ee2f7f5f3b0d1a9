"""Answers to the exercises on region-based non-local: wrong and right."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def gathered(dense: Tensor) -> Tensor:
    channel = torch.arange(len(dense))
    return dense[channel, channel % dense.shape[1]].unsqueeze(1)


def masked(dense: Tensor) -> Tensor:
    mask = torch.zeros_like(dense)
    for c in range(len(dense)):
        mask[c, c % dense.shape[1]] = 1
    return (dense * mask).sum(1, keepdim=True)


def clamped(dense: Tensor) -> Tensor:
    channel = torch.arange(len(dense))
    return dense[channel, channel.clamp(max=dense.shape[1] - 1)][:, None]


def by_group(dense: Tensor) -> Tensor:
    channel, m = torch.arange(len(dense)), dense.shape[1]
    return dense[channel, (channel // m) % m][:, None]


def one_pair(A: Tensor) -> Tensor:
    Z = A[0] / A[:, 0]
    return Z / Z.sum()


def last_pair(A: Tensor) -> Tensor:
    return torch.softmax(A[-1].log() - A[:, -1].log(), 0)


def all_pairs(A: Tensor) -> Tensor:
    Z = (A / A.T).mean(0)
    return Z / Z.sum()


def walk(A: Tensor) -> Tensor:
    return torch.linalg.matrix_power(A, 2**12)[0]


def unscaled(A: Tensor) -> Tensor:
    return A[0] / A[:, 0]


def inverse(A: Tensor) -> Tensor:
    return one_pair(A).reciprocal() / one_pair(A).reciprocal().sum()


WRONG = {
    "rnl-1": [
        (1 / 4, "is A_12 = A_21"),
        (1 / 2, "turn the fraction"),
        (1 / 12, "that is A_21"),
        (9 / 8, "more than one"),
        (1 / 128, "product of three"),
        (0.4, "both ways"),
        ("ab", "one number"),
        ((1, 2), "one number"),
    ],
    "rnl-2": [
        (lambda dense: dense[:, :1], "the first filter"),
        (lambda dense: dense.sum(1, keepdim=True), "not zero in a file"),
        (lambda dense: dense.mean(1, keepdim=True), "a mean mixes"),
        (clamped, "not the smaller"),
        (by_group, "c // m is the group"),
        (lambda dense: gathered(dense)[:, 0], "one dimension is missing"),
        (lambda dense: dense, "a tensor of shape"),
        (lambda dense: 2 * gathered(dense), "c mod m"),
        (0.5, "a function"),
    ],
    "rnl-3": [
        (unscaled, "up to a factor"),
        (inverse, "one over Z"),
        (lambda A: A.sum(0) / len(A), "sums of columns"),
        (lambda A: A.diagonal() / A.trace(), "the diagonal"),
        (lambda A: A[0], "one reader's taste"),
        (lambda A: A[0] * 0 + 1 / len(A), "what is A_ij / A_ji"),
        (lambda A: A, "a tensor of shape"),
        (all_pairs, "one row and one column"),
        (walk, "one row and one column"),
        (0.5, "a function"),
    ],
}
RIGHT = {
    "rnl-1": [0.125, 1 / 8, np.float64(0.125), torch.tensor(0.125)],
    "rnl-2": [gathered, masked],
    "rnl-3": [one_pair, last_pair],
}
