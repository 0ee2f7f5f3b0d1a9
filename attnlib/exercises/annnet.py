"""Checks of the chapter on ANN, ``annnet-1`` and ``-2``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise
from attnlib.functional import pyramid_matrix
from attnlib.memory import allocations


@exercise("annnet-1", right="16 of 21, and 12 of 13.")
def _independent(answer: Any) -> str | None:
    try:
        first, second = (float(number) for number in answer)
    except (TypeError, ValueError):
        return "two numbers are asked for: (a, b)."
    if (first, second) == (16, 12):
        return None
    if (first, second) == (12, 16):
        return "the other way round: (a) comes first."
    if (first, second) == (21, 13):
        return "those are all anchors. Which of them are averages of others?"
    if first == 20:
        return "(a): the 2 x 2 bins, too, are averages of the 4 x 4 bins."
    if first == 16 and second == 13:
        return "16 is right. (b): which average do both grids know?"
    if first == 16:
        return "16 is right. (b): 4 + 9, less what both grids can say."
    if second == 12:
        return "12 is right. (a): which grid can say all that the others say?"
    return "count the bins of the fine grids, less what two grids share."


def _wanted(
    x: Tensor, w: Tensor, P: Tensor, V: Tensor, c: Tensor, W: Tensor, b: Tensor
) -> Tensor:
    """Return the context, as the formula has it."""
    v = V @ x + c[:, None]
    return W @ (w @ (P @ v.T)).T + b[:, None]


def _mistakes(
    x: Tensor, w: Tensor, P: Tensor, V: Tensor, c: Tensor, W: Tensor, b: Tensor
) -> dict[str, Tensor]:
    """Return what common mistakes yield, by the hint for each."""
    means = x @ P.T  # (C, M)
    v = V @ means + c[:, None]
    sums = (P > 0).to(x.dtype)
    wb = W @ v + b[:, None]
    return {
        "c is missing: rows of P sum to one, so it enters once.": (
            W @ (V @ means) @ w.T + b[:, None]
        ),
        "b is missing: it is added once, after the weights.": W @ v @ w.T,
        "c belongs to every anchor, not divided by their number.": (
            W @ (V @ means + c[:, None] / len(P)) @ w.T + b[:, None]
        ),
        "P holds means already; those are sums.": (
            W @ (V @ (x @ sums.T) + c[:, None]) @ w.T + b[:, None]
        ),
        "(O, N) is asked for: this is the transpose.": (wb @ w.T).T,
        "those are W v at the anchors: the weights are missing.": wb,
    }


@exercise("annnet-2", right="Two layers met 110 columns, and never N.")
def _context(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns the context."
    for size, sizes in (((6, 8), (1, 3)), ((5, 7), (2, 4)), ((9, 4), (1, 2))):
        inputs = _draw(5, 7, 4, size, sizes)
        found = answer(*(t.clone() for t in inputs))
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, Tensor):
            return "a tensor is asked for, (O, N)."
        wanted = _wanted(*inputs)
        if found.shape == wanted.shape and torch.allclose(found, wanted):
            continue
        for hint, mistaken in _mistakes(*inputs).items():
            if found.shape == mistaken.shape and torch.allclose(
                found, mistaken
            ):
                return hint
        if found.shape != wanted.shape:
            return (
                f"{tuple(wanted.shape)} is asked for, (O, N); got "
                f"{tuple(found.shape)}."
            )
        return "not yet the context: start with v, as written."
    size = (40, 50)
    large = _draw(8, 64, 8, size, (1, 2))
    n = size[0] * size[1]
    if allocations(answer, *large, backward=False).largest >= 8 * 64 * n:
        return (
            "right, but a tensor of C_v N numbers is made: pool x first, and "
            "apply W before the weights."
        )
    return None


def _draw(
    c: int, v: int, o: int, size: tuple[int, int], sizes: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """Return x, w, P, V, c, W, b of float64."""
    P = pyramid_matrix(size, sizes, dtype=torch.float64)
    m, n = P.shape

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64)

    w = randn(n, m).softmax(1)
    return randn(c, n), w, P, randn(v, c), randn(v), randn(o, v), randn(o)
