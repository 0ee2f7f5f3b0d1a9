"""Answers to the exercises on the map of all blocks: wrong and right."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def heap(
    A: Tensor, *, tolerance: float = 1e-9, pairs: float = 0.5,
    rows_first: bool = True,
) -> str:  # fmt: skip
    few = (A != 0).double().mean() <= pairs
    if (A - A[0]).abs().max() <= tolerance * A.abs().max():
        return "one row"
    if few and not rows_first:
        return "few pairs"
    if 2 * torch.linalg.matrix_rank(A) < len(A):
        return "few rows"
    return "few pairs" if few else "neither"


def by_singular_values(A: Tensor) -> str:
    sizes = np.linalg.svd(A.numpy(), compute_uv=False)
    if np.allclose(A, A[:1]):
        return "one row"
    if (sizes > 1e-10 * sizes[0]).sum() < len(A) / 2:
        return "few rows"
    share = np.count_nonzero(A.numpy()) / A.numel()
    return "few pairs" if share <= 0.5 else "neither"


def by_rank(A: Tensor) -> str:
    return "one row" if torch.linalg.matrix_rank(A) == 1 else heap(A)


def pairs_first(A: Tensor) -> str:
    return "few pairs" if (A != 0).double().mean() <= 0.5 else heap(A)


def never_one(A: Tensor) -> str:
    found = heap(A)
    return "few rows" if found == "one row" else found


def never_pairs(A: Tensor) -> str:
    found = heap(A)
    return "neither" if found == "few pairs" else found


WRONG = {
    "map-1": [
        ((2048, 0.0537), "cost the same"),
        ((4096, 0.0537), "two products"),
        ((31, 0.0537), "N rows"),
        ((1000, 0.0537), "compare N^2 C_v"),
        ((2047, 110 / 4096), "the thin way makes two"),
        ((2047, 5.371), "per cent"),
        ((2047, 0.5), "set s N^2"),
        (2047, "two numbers"),
        ("ab", "two numbers"),
    ],
    "map-2": [
        (never_one, "before few rows"),
        (pairs_first, "hears position 5"),
        (lambda A: heap(A, tolerance=0), "with a tolerance"),
        (by_rank, "times the first"),
        (lambda A: heap(A, rows_first=False), "ask for the rows first"),
        (never_pairs, "1/24"),
        (lambda A: heap(A, pairs=0.8), "too many"),
        (lambda A: "neither", "Rank against half"),
        (lambda A: 4, "one of four"),
        (lambda A: None, "in place of the dots"),
        (3, "a function is asked for"),
    ],
}
RIGHT = {
    "map-1": [
        (2047, 220 / 4096),
        [2047, 0.0537],
        torch.tensor([2047, 0.05371]),
    ],
    "map-2": [heap, by_singular_values],
}
