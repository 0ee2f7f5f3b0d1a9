"""Answers to the exercises on DMSANet: wrong and right."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

E = math.e
LOW, HIGH = 1 / (1 + 2 * E**2), 1 / (1 + 2 * E**-2)


def order(channels: int) -> Tensor:
    return torch.arange(channels).view(2, -1).T.flatten()


def without_shuffle(W: Tensor) -> Tensor:
    return W[:, order(W.shape[1]).argsort()]


def by_strides(W: Tensor) -> Tensor:
    return torch.cat([W[:, ::2], W[:, 1::2]], dim=1)


def by_matrix(W: Tensor) -> Tensor:
    P = torch.eye(W.shape[1], dtype=W.dtype)[order(W.shape[1])]
    return W @ P


def shuffled_again(W: Tensor) -> Tensor:
    return W[:, order(W.shape[1])]


def joined(x: Tensor, F: Tensor, Z: Tensor) -> Tensor:
    return x + (F - x) * Z.softmax(0)[..., None]


def mixed(x: Tensor, F: Tensor, Z: Tensor) -> Tensor:
    s = torch.softmax(Z, dim=0).unsqueeze(-1)
    return s * F + (1 - s) * x


def times_groups(x: Tensor, F: Tensor, Z: Tensor) -> Tensor:
    return len(F) * F * Z.softmax(0)[..., None]


WRONG = {
    "dmsanet-1": [
        ((HIGH, LOW), "the other way round"),
        ((1 / (1 + 2 * E), 1 / (1 + 2 / E)), "that is a sigmoid"),
        ((1 / (1 + E**2), 1 / (1 + E**-2)), "for two groups"),
        ((1 / (1 + 3 * E**2), 1 / (1 + 3 * E**-2)), "for four groups"),
        ((0, 1), "true of every softmax"),
        ((0.2, 0.6), "what is delta"),
        (0.5, "two numbers"),
        ("ab", "two numbers"),
    ],
    "dmsanet-2": [
        (shuffled_again, "have to go back"),
        (lambda W: W, "the old order"),
        (lambda W: W.flip(1), "W times the shuffled y"),
        (lambda W: W.T, "a tensor of shape"),
        (lambda W: None, "returned nothing"),
        (0.5, "a function is asked for"),
    ],
    "dmsanet-3": [
        (times_groups, "let the shares multiply"),
        (lambda x, F, Z: x + F * Z.softmax(0)[..., None], "add less"),
        (lambda x, F, Z: F, "no longer compete"),
        (
            lambda x, F, Z: x + (F - x) * Z.softmax(1)[..., None],
            "over the first axis",
        ),
        (lambda x, F, Z: F * Z.softmax(0)[..., None], "whatever Z says"),
        (lambda x, F, Z: x, "what F adds to x"),
        (lambda x, F, Z: x[0], "a tensor of shape"),
        (lambda x, F, Z: None, "returned nothing"),
        (0.5, "a function is asked for"),
    ],
}
RIGHT = {
    "dmsanet-1": [
        (LOW, HIGH),
        [0.0634, 0.787],
        np.array([0.0634, 0.787]),
        torch.tensor([LOW, HIGH]),
    ],
    "dmsanet-2": [without_shuffle, by_strides, by_matrix],
    "dmsanet-3": [joined, mixed],
}
