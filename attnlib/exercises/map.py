"""Checks of the chapter that compares all blocks, ``map-1`` and ``-2``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise

N = 64 * 64


@exercise("map-1", right="below half of N, and one pair in nineteen.")
def _break_even(answer: Any) -> str | None:
    try:
        rank, share = (float(number) for number in answer)
    except (TypeError, ValueError):
        return "two numbers are asked for: (rank, share of the pairs)."
    right_share = abs(share / (2 * 110 / N) - 1) < 0.01
    if rank == N // 2 - 1 and right_share:
        return None
    if rank == N // 2:
        return "at that rank both cost the same: less is asked for."
    if rank in (N, N - 1):
        return "the thin way makes two products, each of N r C_v."
    if rank in (31, 32):
        return "the map has N rows, not one for each row of the picture."
    if rank != N // 2 - 1:
        return "compare N^2 C_v with 2 N r C_v, for N = 4096."
    if abs(share / (110 / N) - 1) < 0.01:
        return "the rank is right; the thin way makes two products."
    if abs(share / (100 * 2 * 110 / N) - 1) < 0.01:
        return "the rank is right; a share is at most one, not in per cent."
    return "the rank is right; set s N^2 C_v equal to 2 N 110 C_v."


def _maps() -> dict[str, list[Tensor]]:
    """Return maps by heap; each list has what a shortcut gets wrong."""
    kw: dict[str, Any] = {"dtype": torch.float64}
    scores = torch.randn(3, 24, 24, **kw)
    full = (2 * scores[0]).softmax(1)
    near = (torch.arange(24)[:, None] - torch.arange(24)).abs() <= 2
    shift = torch.eye(24, **kw).roll(1, 1)
    thin = torch.randn(24, 4, **kw) @ torch.randn(4, 24, **kw)
    averaged = torch.randn(24, 5, **kw).softmax(1) @ torch.randn(
        5, 24, **kw
    ).softmax(1)
    single = torch.zeros(24, 24, **kw)
    single[:, 5] = 1
    one = full[:1].expand(24, 24)
    noise = 1 + 1e-15 * torch.randn(24, 1, **kw)
    times = one * torch.linspace(1, 2, 24, **kw)[:, None]
    blocks = torch.block_diag(*([torch.ones(6, 6, **kw) / 6] * 4))
    half = full.clone()
    half[:, ::4] = 0
    return {
        "one row": [one.clone(), single, one * noise],
        "few rows": [thin, averaged, times, blocks],
        "few pairs": [shift, (scores[1] * near), torch.eye(24, **kw)],
        "neither": [full, scores[2], half],
    }


@exercise("map-2", right="from the map alone, whatever made it.")
def _heap(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns one of four words."
    for wanted, maps in _maps().items():
        for n, A in enumerate(maps):
            found = answer(A.clone())
            if found is None:
                return "put your lines in place of the dots: it returned None."
            if found not in ("one row", "few rows", "few pairs", "neither"):
                return (
                    'one of four is asked for: "one row", "few rows", '
                    '"few pairs", "neither".'
                )
            if found != wanted:
                return _slip(wanted, n, found)
    return None


def _slip(wanted: str, n: int, found: str) -> str:
    hints = {
        ("one row", 0, "few rows"): "ask for one row before few rows.",
        ("one row", 1, "few pairs"): (
            "every position hears position 5 and no other: that is one row."
        ),
        ("one row", 2, "few rows"): (
            "rows that differ by rounding agree: compare with a tolerance."
        ),
        ("few rows", 2, "one row"): (
            "rank 1 is not enough for one row: here row i is (1 + i/23) "
            "times the first."
        ),
        ("few rows", 3, "few pairs"): (
            "a map may have few pairs and few rows: ask for the rows first."
        ),
        ("few pairs", 0, "neither"): (
            "each position hears one other: a share of 1/24 of the pairs."
        ),
        ("neither", 2, "few pairs"): (
            "three quarters of the weights are other than zero: too many."
        ),
    }
    return hints.get(
        (wanted, n, found),
        f"a map of the heap {wanted!r} was called {found!r}. Rank against "
        "half of N, then the share of weights that are not zero.",
    )
