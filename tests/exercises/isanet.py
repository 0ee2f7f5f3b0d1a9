"""Answers to the exercises on interlaced attention: wrong and right."""

from __future__ import annotations

import numpy as np
import torch


def meeting(i, j, factor):
    return tuple(
        a // d * d + b % d for a, b, d in zip(i, j, factor, strict=True)
    )


def by_remainders(i, j, factor):
    rows = i[0] - i[0] % factor[0] + j[0] % factor[0]
    return [rows, i[1] - i[1] % factor[1] + j[1] % factor[1]]


def in_torch(i, j, factor):
    i, j, d = (torch.tensor(t) for t in (i, j, factor))
    return i // d * d + j % d


def opposite(i, j, factor):
    return meeting(j, i, factor)


def number(i, j, factor):
    return tuple(a // d + b % d for a, b, d in zip(i, j, factor, strict=True))


def place(i, j, factor):
    return j[0] % factor[0], j[1] % factor[1]


def corner(i, j, factor):
    return i[0] // factor[0] * factor[0], i[1] // factor[1] * factor[1]


def turned(i, j, factor):
    return meeting(i, j, factor[::-1])


WRONG = {
    "isanet-1": [
        ((8, 8), "does not divide the map"),
        ((9, 4), "the other way round"),
        ((8, 9), "96 weights"),
        ((1, 1), "that is dense"),
        ((48, 36), "that is dense"),
        ((0, 6), "at least one row"),
        ((6.5, 6), "a pair of whole numbers"),
        (36, "a pair of whole numbers"),
        ("abc", "a pair of whole numbers"),
    ],
    "isanet-2": [
        (opposite, "from i to j"),
        (number, "where does it start"),
        (place, "in which window"),
        (corner, "at which place in it"),
        (turned, "dw to columns"),
        (lambda i, j, factor: j, "not yet: the position"),
        (lambda i, j, factor: 0.5, "must return a pair"),
        ((7, 9), "a function is asked for"),
    ],
}
RIGHT = {
    "isanet-1": [(6, 6), [4, 12], (12, 4), np.array([16, 3]), (48, 1)],
    "isanet-2": [meeting, by_remainders, in_torch],
}
