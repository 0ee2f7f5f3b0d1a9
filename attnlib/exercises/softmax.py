"""Checks of the chapter on softmax."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from attnlib.exercises import exercise


def _near(got: Tensor, expected: Tensor, atol: float = 1e-5) -> bool:
    return torch.allclose(got.double(), expected, rtol=1e-3, atol=atol)


def _numbers(answer: Any) -> Tensor:
    """Flatten a tensor, an array or nested lists; empty if not numbers."""
    none = torch.zeros(0)
    if hasattr(answer, "tolist"):
        answer = answer.tolist()
    if isinstance(answer, (list, tuple)):
        rows = [_numbers(part) for part in answer]
        return torch.cat(rows) if rows and all(map(len, rows)) else none
    try:
        return torch.tensor([float(answer)], dtype=torch.float64)
    except (TypeError, ValueError):
        return none


@exercise(
    "softmax-1",
    right="and the three sum to zero, as every gradient of a row must.",
)
def _gradient(answer: Any) -> str | None:
    got = _numbers(answer)
    if len(got) == 0:
        return "put three numbers, one a score, in place of the dots."
    if len(got) != 3:
        return f"three numbers are asked for, one a score, not {len(got)}."
    f = torch.tensor([1.0, 3, 6]).double()
    p, u = f / f.sum(), torch.tensor([1.0, 0, 0]).double()
    right = p * (u - (p * u).sum())
    if _near(got, right, 2e-3):
        return None
    hints = {
        "those are the weights. Now measure u from its average.": p,
        "that is weight times u: measure u from its average first.": p * u,
        "u is measured from its average; one factor is still missing.": u
        - (p * u).sum(),
        "the average of u is a weighted one: which weights?": p
        * (u - u.mean()),
        "right size, wrong sign: which score gains when its u is large?": (
            -right
        ),
    }
    for hint, wrong in hints.items():
        if _near(got, wrong, 2e-3):
            return hint
    if abs(got.sum()) > 0.01:
        return "these do not sum to zero: then a shift of all would matter."
    scale = float((got @ right) / (right @ right))
    if _near(got, scale * right, 0.01 * abs(scale)):
        return "right direction, wrong length: do the weights sum to one?"
    return "begin with the weights: what are e to the 0, ln 3 and ln 6?"


class _Stream:
    """Pairs that can be read once; remembers how many were held at a time."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values, self.held = keys, values, 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        alive: tuple[WeakSet[Tensor], WeakSet[Tensor]] = WeakSet(), WeakSet()
        keys, values = self.keys, self.values
        self.keys, self.values = keys[:0], values[:0]
        for row in range(len(keys)):
            key, value = keys[row].clone(), values[row].clone()
            alive[0].add(key)
            alive[1].add(value)
            yield key, value
            del key, value
            self.held = max(self.held, *map(len, alive))


def _attend(
    answer: Any, scores: Tensor, width: int = 3
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Return the answer's output, ours, the values, what was held."""
    noise = torch.Generator().manual_seed(len(scores) + width)
    draw = partial(torch.randn, generator=noise, dtype=torch.float64)
    query, keys = draw(4), draw(len(scores), 4)
    keys += ((scores - keys @ query) / (query @ query))[:, None] * query
    values = draw(len(scores), width) + 2
    stream = _Stream(keys, values)
    got = _numbers(answer(query.clone(), iter(stream)))
    expected = (keys @ query).softmax(0) @ values
    return got, expected, values, stream.held


@exercise(
    "softmax-3",
    right="one pass, each pair let go, and scores of a million do no harm. "
    "(Copies of the pairs would have passed: that you keep none, you know.)",
)
def _stream(answer: Any) -> str | None:
    scores = torch.linspace(2, -2, 9).double()
    try:
        got, expected, values, _ = _attend(answer, scores)
    except (ZeroDivisionError, StopIteration):
        return "the pairs can be read once: a second loop finds none."
    if hint := _plain(got, expected, values, scores):
        return hint
    for order in (scores.flip(0), scores[torch.randperm(9)]):
        got, expected, *_ = _attend(answer, order)
        if not _near(got, expected):
            return (
                "right while the first score is the largest. When a larger "
                "one arrives, what were the older sums measured from?"
            )
    for size in (1e6, -1e6):
        try:
            got, expected, *_ = _attend(answer, scores + size)
        except ArithmeticError:
            got = torch.full((3,), math.nan)
        if not _near(got, expected):
            return f"right for small scores, lost at {size:,.0f}: " + (
                "which exponential is the largest that you form?"
                if size > 0
                else "with which maximum do you start?"
            )
    got, expected, *_ = _attend(answer, scores[:1], width=1)
    if not _near(got, expected):
        return "right, except where there is one pair only, one number wide."
    *_, held = _attend(answer, torch.randn(60).double())
    if held > 5:
        return (
            f"the output is right, but {held} of 60 pairs were held at once: "
            "use each pair when it comes, then let it go."
        )
    return None


def _plain(
    got: Tensor, expected: Tensor, values: Tensor, scores: Tensor
) -> str | None:
    """Return a hint if the output is wrong for small, falling scores."""
    if len(got) == 0:
        return "no numbers come back: put your answer in place of the dots."
    if got.shape != expected.shape:
        return (
            f"the output has as many numbers as a value, {len(expected)} "
            f"here; yours has {len(got)}."
        )
    if _near(got, expected):
        return None
    if got.isnan().any():
        return "nan: is a sum zero, or a loop run twice over the pairs?"
    if _near(got, values.mean(0)):
        return "every value counts alike: where do the scores enter?"
    if _near(got, (scores / 2).softmax(0) @ values):
        return "the scale is 1 here: the score is the plain dot product."
    if _near((got / expected).std(), got[0] * 0):
        return "in proportion to the right output: what is it divided by?"
    return (
        "wrong even where the first score is the largest: compare the "
        "weights with those of a softmax for two pairs."
    )


@exercise(
    "softmax-4",
    right="the empty row hands out nothing, and learns nothing.",
)
def _masked(answer: Any) -> str | None:
    noise = torch.Generator().manual_seed(0)
    scores = torch.randn(4, 6, generator=noise, dtype=torch.float64)
    allowed = torch.rand(4, 6, generator=noise) < 0.6
    allowed[:, 0], allowed[:, 1], allowed[3, 1:] = True, False, False
    expected = _reference(scores, allowed)
    given = scores.clone()
    got = answer(given, allowed.clone())
    if not isinstance(got, Tensor) or got.shape != scores.shape:
        return "the answer is a map of weights, of the shape of the scores."
    if not torch.equal(given, scores):
        return "your function writes into the scores that it was given."
    if not _near(got, expected):
        return _usual(got.double(), scores, allowed)
    far = scores + torch.where(allowed, -1e6, 1e6)
    if not _near(
        answer(far.clone(), allowed.clone()), _reference(far, allowed)
    ):
        return (
            "right for scores near zero. Now the allowed ones are near "
            "-1,000,000 and the forbidden ones near 1,000,000: does forbidden "
            "still mean never?"
        )
    allowed[2] = False
    got = answer(scores.clone(), allowed.clone())
    if not got.isfinite().all():
        return (
            "rows with something allowed are right; the row with nothing "
            "allowed is nan. What is its largest score, and what remains "
            "when you subtract that?"
        )
    if not _near(got, _reference(scores, allowed)):
        return (
            "the row with nothing allowed is finite, but its weights are "
            "not zero. What do equal scores give, however low?"
        )
    return _slope(answer, scores, allowed)


def _reference(scores: Tensor, allowed: Tensor) -> Tensor:
    low = torch.finfo(scores.dtype).min
    return scores.masked_fill(~allowed, low).softmax(-1) * allowed


def _usual(got: Tensor, scores: Tensor, allowed: Tensor) -> str:
    """Return a hint for a map that is wrong although each row allows some."""
    if not got.isfinite().all():
        return "even rows with something allowed are not finite."
    if _near(got, (scores * allowed).softmax(-1)):
        return "a score of 0 is a score like another: e to the 0 is 1."
    if _near(got, _reference(scores, ~allowed)):
        return "the roles are swapped: `allowed` is True where one may look."
    if (got[~allowed].abs() > 1e-6).any():
        return "a forbidden position has a weight that is not zero."
    return (
        "forbidden positions get nothing, yet the rest is wrong: who still "
        "stands in the denominator, and along which axis?"
    )


def _slope(answer: Any, scores: Tensor, allowed: Tensor) -> str | None:
    u = torch.linspace(-1, 1, scores.numel()).double().view_as(scores)
    slopes = []
    for function in (answer, _reference):
        leaf = scores.clone().requires_grad_()
        weights = function(leaf, allowed.clone())
        if not weights.requires_grad:
            return "the weights are right, but no gradient can pass."
        (slope,) = torch.autograd.grad((weights * u).sum(), leaf)
        slopes.append(slope)
    if not slopes[0].isfinite().all():
        return (
            "the weights are right, the gradient is nan. Here the nan is "
            "overwritten too late: zero times nan is nan on the way back."
        )
    if not _near(slopes[0], slopes[1]):
        return "the weights are right, the gradient of the scores is not."
    return None
