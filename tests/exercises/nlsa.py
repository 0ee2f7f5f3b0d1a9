"""Answers to the exercises on NLSA: wrong and right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot


def by_lists(
    *steps: int, ring: bool = True, filled: bool = True
) -> Callable[[Tensor, int], Tensor]:
    """Count in the chunks at these steps; right with -1, 0, 1."""

    def count(order: Tensor, m: int) -> Tensor:
        n = order.shape[1]
        c = torch.zeros(n, n)
        for line in order.tolist():
            whole = line + line[n - (-n % m) :] if filled else line
            chunks = [whole[a : a + m] for a in range(0, len(whole), m)]
            for place, i in enumerate(line):
                for a in (place // m + step for step in steps):
                    if ring or 0 <= a < len(chunks):
                        for j in chunks[a % len(chunks)]:
                            c[i, j] += 1
        return c

    return count


def by_products(order: Tensor, m: int) -> Tensor:
    n = order.shape[1]
    chunks = -(-n // m)
    total = torch.zeros(n, n, dtype=torch.int64)
    for line in order:
        whole = torch.cat([line, line[n - (chunks * m - n) :]])
        homes = torch.arange(chunks * m) // m
        holds = torch.zeros(chunks, n, dtype=torch.int64)
        holds.index_put_((homes, whole), torch.tensor(1), accumulate=True)
        lists = holds + holds.roll(1, 0) + holds.roll(-1, 0)
        home = torch.empty(n, dtype=torch.int64)
        home[line] = torch.arange(n) // m
        total += one_hot(home, chunks) @ lists
    return total


def weighted(s: Tensor, c: Tensor, P: Tensor) -> Tensor:
    w = c / P * s.exp()
    return w / w.sum(1, keepdim=True)


def by_logarithms(s: Tensor, c: Tensor, P: Tensor) -> Tensor:
    return torch.softmax(s + c.log() - P.log(), dim=-1)


WRONG = {
    "nlsa-1": [
        ((64, 0.1875), "three of them"),
        ((256 / 3, 0.1875), "rounds do not matter"),
        ((64 / 3, 3 / 64), "there are four"),
        ((64 / 3, 1 / 16), "three chunks, not one"),
        ((64 / 3, 16 / 3), "the other way round"),
        ((21.3, 0.5), "21.3 is right"),
        ((9, 0.1875), "N / (3 m)"),
        (21.3, "two numbers"),
        ("ab", "two numbers"),
    ],
    "nlsa-2": [
        (by_lists(-1, 0, 1, ring=False), "a ring"),
        (by_lists(-1, 0, 1, filled=False), "once more"),
        (by_lists(0), "a list holds three"),
        (by_lists(0, -1), "the chunk after"),
        (by_lists(0, 1), "the chunk before"),
        (lambda order, m: by_lists(-1, 0, 1)(order[:1], m), "add all of them"),
        (
            lambda order, m: by_lists(-1, 0, 1)(order, m).clamp(max=1),
            "how often",
        ),
        (lambda order, m: by_lists(-1, 0, 1)(order, m) + 1, "walk the ring"),
        (
            lambda order, m: by_lists(-1, 0, 1)(order, m)[0],
            "a tensor of shape",
        ),
        (lambda *inputs: None, "in place of the dots"),
        (3, "a function is asked for"),
    ],
    "nlsa-3": [
        (lambda s, c, P: c / P * s.exp(), "do not sum to one"),
        (lambda s, c, P: (s + (c * P).log()).softmax(1), "once more: divide"),
        (lambda s, c, P: (s + c.log()).softmax(1), "the block itself"),
        (
            lambda s, c, P: (s + c.clamp(max=1).log()).softmax(1),
            "needs no P",
        ),
        (lambda s, c, P: (s - P.log()).softmax(1), "nobody was asked"),
        (lambda s, c, P: (s + (c / P).log()).softmax(0), "rows, not columns"),
        (lambda s, c, P: s * (c.log() - P.log()), "not NaN"),
        (lambda s, c, P: s.softmax(1), "count over its chance"),
        (lambda s, c, P: s[0], "a tensor of shape"),
        (lambda *inputs: None, "in place of the dots"),
        (0.5, "a function is asked for"),
    ],
}
RIGHT = {
    "nlsa-1": [(64 / 3, 3 / 16), (21.3, 0.1875), np.array([21.33, 0.1875])],
    "nlsa-2": [by_lists(-1, 0, 1), by_products],
    "nlsa-3": [weighted, by_logarithms],
}
