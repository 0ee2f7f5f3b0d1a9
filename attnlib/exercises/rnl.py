"""Checks of the chapter on region-based non-local blocks, ``rnl-1`` to ``-3``.

The second and third run on random kernels and on maps of random regions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise
from attnlib.memory import allocations

WANTED = 1 / 8
NUMBERS = (
    (1 / 4, "equal weights would mean equal normalisers: is A_12 = A_21?"),
    (1 / 2, "that is the product the other way round: turn the fraction."),
    (1 / 12, "that is A_21. Which of the six weights is missing?"),
    (9 / 8, "more than one? Divide by the weights of the first circle."),
    (1 / 128, "that is the product of three weights; A_12 and A_23 divide."),
)


@exercise("rnl-1", right="Z_3 is twice Z_1, so A_31 is half of A_13.")
def _number(answer: Any) -> str | None:
    try:
        found = float(answer)
    except (TypeError, ValueError):
        return "one number is asked for, such as 0.25."
    if abs(found - WANTED) < 6e-4:
        return None
    for wrong, hint in NUMBERS:
        if abs(found - wrong) < 6e-4:
            return hint
    return "go round the triangle both ways: the products are equal."


def _filters(dense: Tensor) -> Tensor:
    channel = torch.arange(len(dense))
    return dense[channel, channel % dense.shape[1]][:, None]


def _mistakes(dense: Tensor) -> dict[str, Tensor]:
    """What a wrong idea would give, by the hint against it."""
    d, m = dense.shape[:2]
    channel = torch.arange(d)
    return {
        "that is the first filter of each channel: where is the mask 1?": (
            dense[:, :1]
        ),
        "masked entries are not zero in a file: a sum takes them in.": (
            dense.sum(1, keepdim=True)
        ),
        "a mean mixes the live filter with those that the mask hides.": (
            dense.mean(1, keepdim=True)
        ),
        "right for one group; with more, c % m, not the smaller of the two.": (
            dense[channel, channel.clamp(max=m - 1)][:, None]
        ),
        "c // m is the group; the place inside of it is asked for.": (
            dense[channel, (channel // m) % m][:, None]
        ),
    }


@exercise("rnl-2", right="one filter a channel, and nothing that was hidden.")
def _live(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns the live filters."
    for size in ((64, 32, 3, 3), (6, 6, 3, 3), (96, 32, 1, 3, 5), (1, 1, 3)):
        dense = torch.randn(size, dtype=torch.float64)
        found, wanted = answer(dense.clone()), _filters(dense)
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if isinstance(found, Tensor) and found.shape == wanted[:, 0].shape:
            return "one dimension is missing: (d, 1, *K), as Conv2d stores it."
        if not isinstance(found, Tensor) or found.shape != wanted.shape:
            return f"a tensor of shape {tuple(wanted.shape)} is asked for."
        if torch.allclose(found, wanted):
            continue
        for hint, mistaken in _mistakes(dense).items():
            if torch.allclose(found, mistaken):
                return hint
        return "not yet the live filters: channel c keeps entry c mod m."
    return None


def _map(count: int, width: int) -> tuple[Tensor, Tensor]:
    """Return a map of random regions, and its normalisers over their sum."""
    p = torch.randn(count, width, dtype=torch.float64)
    E = (p @ p.mT).exp()
    Z = E.sum(1)
    return E / Z[:, None], Z / Z.sum()


def _wrong(A: Tensor, Z: Tensor) -> dict[str, Tensor]:
    """What a wrong idea would give, by the hint against it."""
    shares = {
        "that is one over Z: turn the fraction.": 1 / Z,
        "sums of columns say who is heard, each row counting alike: the "
        "popular hear more than their share.": A.sum(0),
        "the diagonal says who hears itself: compare A_ij with A_ji.": (
            A.diagonal()
        ),
        "one row of A is one reader's taste: divide by what comes back.": A[0],
    }
    return {hint: share / share.sum() for hint, share in shares.items()}


@exercise("rnl-3", right="a row and a column of the map tell all of Z.")
def _popular(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns one number a position."
    for count, width in ((5, 3), (40, 2), (1, 4)):
        A, Z = _map(count, width)
        found = answer(A.clone())
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, Tensor) or found.shape != (count,):
            return f"a tensor of shape ({count},) is asked for."
        if torch.allclose(found, Z):
            continue
        if torch.allclose(found / found.sum(), Z):
            return "right up to a factor: the numbers are to sum to one."
        for hint, mistaken in _wrong(A, Z).items():
            if torch.allclose(found, mistaken):
                return hint
        return "not yet Z over its sum: what is A_ij / A_ji?"
    A = _map(600, 3)[0]
    if allocations(answer, A, backward=False).peak >= A.nbytes:
        return (
            "right, but as much memory as the map has again: one row and one "
            "column are enough."
        )
    return None
