"""Checks of the chapter on NLSA, ``nlsa-1`` to ``-3``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise
from attnlib.functional import list_counts


@exercise("nlsa-1", right="21 times as loud, and a fifth of the cost.")
def _loud(answer: Any) -> str | None:
    try:
        loud, share = (float(number) for number in answer)
    except (TypeError, ValueError):
        return "two numbers are asked for: (times as loud, share of the cost)."

    def near(found: float, wanted: float) -> bool:
        return abs(found / wanted - 1) < 0.01

    if near(loud, 64 / 3) and near(share, 3 / 16):
        return None
    if near(loud, 64):
        return "there are 64 chunks, but three of them are on each list."
    if near(loud, 4 * 64 / 3) or near(loud, 16 / 3):
        return (
            "rounds do not matter to the first number: query and average "
            "are both counted in each."
        )
    if near(loud, 64 / 3):
        if near(share, 3 / 64):
            return "that is the share of one round; there are four."
        if near(share, 1 / 16):
            return "a list holds three chunks, not one."
        if near(share, 16 / 3):
            return "the other way round: lists over dense sum."
        return "21.3 is right. A query has 3 m keys in each of T rounds."
    return "the first is N / (3 m), with N = 96 * 96 and m = 144."


def _count(
    order: Tensor, m: int, *, steps: tuple[int, ...] = (-1, 0, 1),
    ring: bool = True, filled: bool = True,
) -> Tensor:  # fmt: skip
    """Count from lists, with some of what mistakes leave out."""
    n = order.shape[1]
    c = torch.zeros(n, n, dtype=torch.int64)
    for line in order.tolist():
        more = -n % m if filled else 0
        whole = line + line[n - more :]
        chunks = [whole[a : a + m] for a in range(0, len(whole), m)]
        for place, i in enumerate(line):
            for step in steps:
                a = place // m + step
                if not ring and a not in range(len(chunks)):
                    continue
                for j in chunks[a % len(chunks)]:
                    c[i, j] += 1
    return c


def _mistakes(order: Tensor, m: int) -> dict[str, Tensor]:
    """Return what common mistakes yield, by the hint for each."""
    right = _count(order, m)
    return {
        "the chunks form a ring: the first and the last are neighbours.": (
            _count(order, m, ring=False)
        ),
        "the last p positions stand in the last chunk once more.": (
            _count(order, m, filled=False)
        ),
        "a list holds three chunks: before, own, after.": (
            _count(order, m, steps=(0,))
        ),
        "and the chunk after.": _count(order, m, steps=(-1, 0)),
        "and the chunk before.": _count(order, m, steps=(0, 1)),
        "that is one round: add all of them.": _count(order[:1], m),
        "that says who meets; how often is asked.": right.clamp(max=1),
        "transposed: row i belongs to the query.": right.T,
    }


@exercise("nlsa-2", right="ring, copies and rounds are all in it.")
def _multiplicities(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns the counts."
    for n, m, rounds in ((12, 3, 3), (11, 4, 2), (10, 5, 2), (7, 7, 1)):
        order = torch.stack([torch.randperm(n) for _ in range(rounds)])
        found = answer(order.clone(), m)
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, Tensor) or found.shape != (n, n):
            return f"a tensor of shape ({n}, {n}) is asked for."
        wanted = list_counts(order[None], m)[0]
        if torch.equal(found.double(), wanted.double()):
            continue
        for hint, mistaken in _mistakes(order, m).items():
            if torch.equal(found.double(), mistaken.double()):
                return hint
        return (
            f"not yet for {n} positions in chunks of {m}: cut one line into "
            "chunks, then walk the ring."
        )
    return None


@exercise("nlsa-3", right="however talkative, each counts as one.")
def _unbiased(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns the weights."
    kw: dict[str, Any] = {"dtype": torch.float64}
    for n in (6, 9):
        s = 3 * torch.randn(n, n, **kw)
        P = 0.2 + 0.8 * torch.rand(n, n, **kw)
        c = torch.randint(0, 5, (n, n)).to(**kw)
        c.fill_diagonal_(4)
        c[0, 1:3] = torch.tensor([0.0, 3.0], **kw)
        found = answer(s.clone(), c.clone(), P.clone())
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, Tensor) or found.shape != (n, n):
            return f"a tensor of shape ({n}, {n}) is asked for."
        wanted = (s + (c / P).log()).softmax(1)
        if torch.allclose(found, wanted, atol=1e-9):
            continue
        mistakes = {
            "those rows do not sum to one: normalise what you have.": (
                c / P * s.exp()
            ),
            "that multiplies by the chance once more: divide.": (
                (s + (c * P).log()).softmax(1)
            ),
            "that is the block itself: where does P enter?": (
                (s + c.log()).softmax(1)
            ),
            "that counts each once, which needs no P.": (
                (s + c.clamp(max=1).log()).softmax(1)
            ),
            "the counts are missing: nobody was asked.": (
                (s - P.log()).softmax(1)
            ),
            "rows, not columns: the query is the first index.": (
                (s + (c / P).log()).softmax(0)
            ),
        }
        for hint, mistaken in mistakes.items():
            if torch.allclose(found, mistaken, atol=1e-9):
                return hint
        if not found.isfinite().all():
            return "a pair that never met has count 0 and weight 0, not NaN."
        return "weight each e^s by its count over its chance, then normalise."
    return None
