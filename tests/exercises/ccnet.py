"""Answers to the exercises on criss-cross attention: wrong and right."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def by_sigmoid(m1: Tensor, l1: Tensor, m2: Tensor, l2: Tensor):
    share = (l1 - l2).sigmoid()[:, None]
    return share * m1 + (1 - share) * m2, torch.logaddexp(l1, l2)


def by_softmax(m1: Tensor, l1: Tensor, m2: Tensor, l2: Tensor):
    both = torch.stack([l1, l2])
    a, b = both.softmax(0)[..., None]
    return a * m1 + b * m2, both.logsumexp(0)


def by_maximum(m1: Tensor, l1: Tensor, m2: Tensor, l2: Tensor):
    top = torch.maximum(l1, l2)
    a, b = (l1 - top).exp(), (l2 - top).exp()
    y = (a[:, None] * m1 + b[:, None] * m2) / (a + b)[:, None]
    return y, top + (a + b).log()


def middle(m1, l1, m2, l2):
    return (m1 + m2) / 2, torch.logaddexp(l1, l2)


def exchanged(m1, l1, m2, l2):
    return by_sigmoid(m2, l1, m1, l2)


def by_level(m1, l1, m2, l2):
    y = (l1[:, None] * m1 + l2[:, None] * m2) / (l1 + l2)[:, None]
    return y, torch.logaddexp(l1, l2)


def undivided(m1, l1, m2, l2):
    y = l1.exp()[:, None] * m1 + l2.exp()[:, None] * m2
    return y, torch.logaddexp(l1, l2)


def overflows(m1, l1, m2, l2):
    a, b = l1.exp()[:, None], l2.exp()[:, None]
    return (a * m1 + b * m2) / (a + b), (l1.exp() + l2.exp()).log()


def added(m1, l1, m2, l2):
    return by_sigmoid(m1, l1, m2, l2)[0], l1 + l2


def empty_lost(m1, l1, m2, l2):
    l1, l2 = l1.clamp(min=-1e4), l2.clamp(min=-1e4)
    y, level = by_sigmoid(m1, l1, m2, l2)
    gone = torch.minimum(l1, l2) <= -1e4
    return y, torch.where(gone, 0 * level, level)


WRONG = {
    "ccnet-1": [
        (1, "are there others"),
        (2, "that is a picture"),
        (3, "And the second"),
        (8, "each pass changes one"),
        (27, "leaves another unchanged"),
        (12, "as the order in which"),
        ("six", "a number is asked for"),
    ],
    "ccnet-2": [
        (middle, "weigh the same only if"),
        (exchanged, "are exchanged"),
        (by_level, "not by l"),
        (undivided, "divide by both"),
        (overflows, "leaves float64"),
        (added, "the whole is another"),
        (empty_lost, "an empty share"),
        (lambda m1, l1, m2, l2: (m1, l1), "start with the two"),
        (lambda m1, l1, m2, l2: m1, "two tensors"),
        (lambda m1, l1, m2, l2: (l1, l1), "the mean must be a tensor"),
        (lambda m1, l1, m2, l2: (m1, 3), "log-sum-exp must be a tensor"),
        (lambda m1, l1, m2, l2: (m1, m1), "log-sum-exp must be a tensor"),
        (0.5, "a function is asked for"),
    ],
}
RIGHT = {
    "ccnet-1": [6, 6.0, np.int64(6), torch.tensor(6)],
    "ccnet-2": [by_sigmoid, by_softmax, by_maximum],
}
