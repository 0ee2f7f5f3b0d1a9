"""Checks of the chapter on attention in a window, ``san-1`` and ``san-2``."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attnlib.exercises import exercise
from attnlib.functional.window import pad_window, window_aggregation, windows
from attnlib.memory import allocations


@exercise(
    "san-1", right="9 x 9, for 61,824 multiply-adds a position; 5 x 5 seen."
)
def _largest(answer: Any) -> str | None:
    try:
        k, seen = (int(number) for number in answer)
    except (TypeError, ValueError):
        return "two whole numbers are asked for: (k, positions)."
    if (k, seen) == (9, 25):
        return None
    if k == 7:
        return (
            "that is the pairwise one. A place of the patchwise window costs "
            "G (R + G) + O."
        )
    if k == 11:
        return (
            "11 x 11 costs 72,064, more than 69,632: the projections cost "
            "the same at every k."
        )
    if k == 16:
        return "a place costs 256, but the projections cost something, too."
    if k % 2 == 0:
        return "k is odd: the window has a middle."
    if k != 9:
        return "projections first, R G for the query, then 256 a place."
    if seen == 81:
        return "81 places, but the mirror meets some positions twice or more."
    return "k is right. Mirror the window's rows at row 0: which are left?"


def _mistakes(v: Tensor, w: Tensor, k: int) -> dict[str, Tensor]:
    """What a wrong idea would give, by the hint against it."""
    share, pad = len(v) // len(w), (k // 2,) * 4
    batch = v[None], w[None]
    swapped = w.unflatten(1, (k, k)).transpose(1, 2).flatten(1, 2)
    edge = windows(F.pad(v[None], pad, mode="replicate"), k)[0]
    return {
        "these are groups in blocks; channel c takes c mod G.": (
            window_aggregation(
                v[None], w.repeat_interleave(share, 0)[None], kernel_size=k
            )
        )[0],
        "the border is zero here: it is to be mirrored.": (
            window_aggregation(*batch, kernel_size=k, mode="zero")[0]
        ),
        "the border pixel is repeated here: a mirror starts at the next.": (
            (w.repeat(share, 1, 1, 1) * edge).sum(1)
        ),
        "the places are numbered column by column here, not row by row.": (
            window_aggregation(v[None], swapped[None], kernel_size=k)[0]
        ),
        "the window is turned round: place 0 is the upper left neighbour.": (
            window_aggregation(v[None], w.flip(1)[None], kernel_size=k)[0]
        ),
        "a sum is asked for: w is normalised already, or never.": (
            window_aggregation(*batch, kernel_size=k)[0] / (k * k)
        ),
    }


@exercise("san-2", right="the same sums, and the windows were never laid out.")
def _sum(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns a tensor like v."
    for channels, groups, k, size in (
        (6, 2, 3, (4, 5)),
        (8, 4, 5, (3, 7)),
        (4, 1, 3, (2, 2)),
        (3, 3, 1, (1, 4)),
    ):
        v = torch.randn(channels, *size, dtype=torch.float64)
        w = torch.randn(groups, k * k, *size, dtype=torch.float64)
        found = answer(v.clone(), w.clone(), k)
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, Tensor) or found.shape != v.shape:
            return f"a tensor of the shape of v, {tuple(v.shape)}, please."
        wanted = window_aggregation(v[None], w[None], kernel_size=k)[0]
        if torch.allclose(found, wanted):
            continue
        for hint, mistaken in _mistakes(v, w, k).items():
            if torch.allclose(found, mistaken):
                return hint
        return "not yet the sums of the formula: try G = 1 and k = 3 first."
    v = torch.randn(16, 24, 24, dtype=torch.float64)
    w = torch.randn(2, 25, 24, 24, dtype=torch.float64)
    padded = pad_window(v[None], 5).nbytes
    largest = allocations(
        lambda *inputs: answer(*inputs, 5), v, w, backward=False
    ).largest
    if largest > 2 * padded:
        return (
            f"right sums, but a tensor of {largest // 8:,} numbers is made, "
            f"where v has {v.numel():,}: go place by place."
        )
    return None
