"""Answers to the exercises on ANN: wrong and right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def exchanged(
    x: Tensor, w: Tensor, P: Tensor, V: Tensor, c: Tensor, W: Tensor, b: Tensor
) -> Tensor:
    v = V @ (x @ P.T) + c[:, None]  # (Cv, M)
    return (W @ v) @ w.T + b[:, None]


def by_einsum(
    x: Tensor, w: Tensor, P: Tensor, V: Tensor, c: Tensor, W: Tensor, b: Tensor
) -> Tensor:
    means = torch.einsum("cn,an->ac", x, P)
    values = torch.einsum("ac,vc,ov->ao", means, V, W) + W @ c
    return (w @ values + b).T


def as_written(
    x: Tensor, w: Tensor, P: Tensor, V: Tensor, c: Tensor, W: Tensor, b: Tensor
) -> Tensor:
    v = V @ x + c[:, None]
    return W @ (w @ (P @ v.T)).T + b[:, None]


def late(
    x: Tensor, w: Tensor, P: Tensor, V: Tensor, c: Tensor, W: Tensor, b: Tensor
) -> Tensor:
    """Pools first; W after the weights."""
    return W @ ((V @ (x @ P.T) + c[:, None]) @ w.T) + b[:, None]


def changed(
    **by: Callable[[Tensor], Tensor],
) -> Callable[..., Tensor]:
    """Answer rightly, of inputs that are not as given."""

    def answer(*inputs: Tensor) -> Tensor:
        given = dict(zip("xwPVcWb", inputs, strict=True))
        return exchanged(**given | {n: f(given[n]) for n, f in by.items()})

    return answer


def anchors(
    x: Tensor, w: Tensor, P: Tensor, V: Tensor, c: Tensor, W: Tensor, b: Tensor
) -> Tensor:
    return W @ (V @ (x @ P.T) + c[:, None]) + b[:, None]


WRONG = {
    "annnet-1": [
        ((12, 16), "the other way round"),
        ((21, 13), "those are all anchors"),
        ((20, 12), "the 2 x 2 bins, too"),
        ((16, 13), "both grids know"),
        ((16, 9), "less what both grids"),
        ((17, 12), "12 is right"),
        ((3, 3), "count the bins"),
        (16, "two numbers"),
        ("ab", "two numbers"),
    ],
    "annnet-2": [
        (as_written, "C_v N numbers"),
        (late, "C_v N numbers"),
        (changed(c=torch.zeros_like), "c is missing"),
        (changed(b=torch.zeros_like), "b is missing"),
        (
            lambda x, w, P, V, c, *o: exchanged(x, w, P, V, c / len(P), *o),
            "belongs to every anchor",
        ),
        (changed(P=lambda P: (P > 0).double()), "those are sums"),
        (anchors, "the weights are missing"),
        (lambda *inputs: exchanged(*inputs).T, "the transpose"),
        (lambda *inputs: 2 * exchanged(*inputs), "start with v"),
        (lambda *inputs: exchanged(*inputs)[1:], "is asked for, (O, N); got"),
        (lambda *inputs: 0.5, "a tensor is asked for"),
        (lambda *inputs: None, "in place of the dots"),
        (0.5, "a function is asked for"),
    ],
}
RIGHT = {
    "annnet-1": [(16, 12), [16.0, 12.0], np.array([16, 12])],
    "annnet-2": [exchanged, by_einsum],
}
