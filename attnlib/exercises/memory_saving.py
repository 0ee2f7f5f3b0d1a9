"""Checks of the chapter on memory: online softmax, merge, a lost term."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise

Report = tuple[Tensor, Tensor]


def _draw(*size: int, seed: int = 0) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=noise, dtype=torch.float64)


def _near(got: Tensor, expected: Tensor) -> bool:
    """Compare; infinities of one sign are equal, nan is equal to nothing."""
    return torch.allclose(got.double(), expected, rtol=1e-6, atol=1e-8)


def _shape(answer: Any, n: int, width: int) -> str | None:
    """Return a hint if this is no pair y (n, width) and L (n, 1)."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        return "two tensors come back, y and L: put them in place of the dots."
    for name, t, columns in zip("yL", answer, (width, 1), strict=True):
        if not isinstance(t, Tensor):
            return f"{name} is a tensor; see what your function returns."
        if t.shape != (n, columns):
            shape = tuple(t.shape)
            return f"{name} has shape {(n, columns)} here, yours {shape}."
    return None


def _whole(scores: Tensor, values: Tensor) -> Report:
    """Return y and L of rows that exist at once; an empty row has y = 0."""
    total = scores.logsumexp(1, keepdim=True)
    empty = total == -math.inf
    return (scores - total.masked_fill(empty, 0)).exp() @ values, total


def _masks() -> dict[str, Tensor]:
    """Return scores (4, 9), to be read in blocks of 4, 3 and 2, by hint."""
    scores = [_draw(4, 9, seed=seed) for seed in range(8)]
    falling = scores[0].sort(1, descending=True).values
    scores[4][:, ::2] = -math.inf
    scores[5][:2, :4] = -math.inf
    scores[6][1:3, 4:7] = -math.inf
    scores[7][3] = -math.inf
    return {
        "": falling,
        "right while the first block holds the largest score. When a larger "
        "one arrives, what were the older sums measured from?": scores[1],
        "right for small scores, lost at 10,000: which exponential is the "
        "largest that you form?": scores[2] + 1e4,
        "right for small scores, lost at -10,000: with which maximum do you "
        "start?": scores[3] - 1e4,
        "right as long as nothing is forbidden. Each block here allows some "
        "of its keys: does -inf stay -inf?": scores[4],
        "rows with something allowed in each block are right. Where the first "
        "allows nothing, the largest score so far is -inf: what is -inf minus "
        "-inf?": scores[5],
        "right, except where a later block forbids a row that had something "
        "before: its sums must stay as they are.": scores[6],
        "rows with something allowed are right. One with nothing at all has "
        "y = 0 and L = -inf: what do you divide by there?": scores[7],
    }


@exercise(
    "memory_saving-2",
    right="forbidden keys weigh nothing, and an empty row says so with L.",
)
def _online(answer: Any) -> str | None:
    values = _draw(9, 3, seed=9) + 2
    for hint, scores in _masks().items():
        parts = scores.split((4, 3, 2), 1), values.split((4, 3, 2))
        pairs = zip(*parts, strict=True)
        got = answer((s.clone(), v.clone()) for s, v in pairs)
        if wrong := _shape(got, 4, 3):
            return wrong
        if not all(map(_near, got, _whole(scores, values))):
            y, total = got
            return hint or _usual(y, total, scores, values)
    return None


def _usual(y: Tensor, total: Tensor, scores: Tensor, values: Tensor) -> str:
    """Say what is wrong where the first block holds the largest scores."""
    right_y, right_total = _whole(scores, values)
    top = scores.amax(1, keepdim=True)
    if _near(y, right_y):
        if _near(total, right_total - top):
            return "y is right; L is measured from the maximum: add that."
        return "y is right, L is not: it is the maximum plus the log of a sum."
    if _near(y, right_y * (right_total - top).exp()):
        return "in proportion to the right y: what is it divided by?"
    if _near(y, _whole(scores[:, -2:], values[-2:])[0]):
        return "that is the last block alone: what becomes of the others?"
    return "wrong even for plain scores that fall: compare two blocks by hand."


def _merged(reports: list[Report]) -> Report:
    y, total = (torch.stack(part) for part in zip(*reports, strict=True))
    whole = total.logsumexp(0)
    weight = (total - whole.masked_fill(whole == -math.inf, 0)).exp()
    return (weight * y.nan_to_num()).sum(0), whole


def _reports(*shifts: float) -> list[Report]:
    """Return reports of 5 rows and 3 channels, each L moved by a shift."""
    n = len(shifts)
    y, total = _draw(n, 5, 3, seed=n) + 1, _draw(n, 5, 1, seed=n + 10)
    return [(y[p], total[p] + shifts[p]) for p in range(n)]


def _lists() -> dict[str, list[Report]]:
    """Return lists of reports, from easy to hard, by hint."""
    none = torch.full((5, 1), -math.inf, dtype=torch.float64)
    zero = torch.zeros(5, 3, dtype=torch.float64)
    mixed = [(y.clone(), total.clone()) for y, total in _reports(0, 1)]
    for y, total in mixed:
        y[4], total[4] = math.nan, -math.inf
    return {
        "": _reports(0, 1),
        "two reports merge well; a single one is the whole row.": _reports(2),
        "two reports merge well, five do not.": _reports(0, 2, 1, -1, 0),
        "right for small L, lost near 1,000. Which exponential is the largest "
        "that you form?": _reports(1000, 1001, 999),
        "right for large L, lost near -1,000: there e to the L is zero. From "
        "where do you measure?": _reports(-1000, -1001, -999),
        "right for parts with keys; an empty part, L = -inf, must change "
        "nothing.": [(zero, none), *_reports(0, 1), (zero, none)],
        "an empty part with y = 0 does no harm, one with y = nan does: zero "
        "times nan is nan.": [(zero * math.nan, none), *_reports(0, 1)],
        "a row whose parts are all empty has y = 0 and L = -inf. What is -inf "
        "minus -inf?": mixed,
    }


@exercise(
    "memory_saving-3",
    right="any number, any size, and nothing merged with nothing is nothing.",
)
def _merge(answer: Any) -> str | None:
    for hint, reports in _lists().items():
        given = [(y.clone(), total.clone()) for y, total in reports]
        got = answer(given)
        if wrong := _shape(got, 5, 3):
            return wrong
        if not all(map(_near, got, _merged(reports))):
            y, total = got
            return hint or _usual_merge(y, total, reports)
        if any(
            not torch.equal(a.nan_to_num(7), b.nan_to_num(7))
            for pair in zip(given, reports, strict=False)
            for a, b in zip(*pair, strict=True)
        ):
            return "your function writes into the reports that it was given."
    return None


def _usual_merge(y: Tensor, total: Tensor, reports: list[Report]) -> str:
    """Say what is wrong where two ordinary reports are merged."""
    right_y, right_total = _merged(reports)
    outputs, logs = (torch.stack(t) for t in zip(*reports, strict=True))
    if _near(y, right_y):
        return "y is right, L is not: the sums of the parts add. The logs?"
    if _near(y, outputs.mean(0)):
        return "every part counts alike: the larger sum has the larger say."
    if _near(y, outputs.sum(0)):
        return "the outputs are means already: their plain sum is too large."
    if _near(y, right_y * right_total.exp()):
        return "in proportion to the right y: divide by the sum of all parts."
    if _near(y, (logs / logs.sum(0) * outputs).sum(0)):
        return "L is a logarithm: weigh with the sums, not with their logs."
    return "put both sums, e^L and e^L y, of each part on paper and add them."


def _slopes(x: Tensor, v: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """Return the gradient of x, and likely mistakes by hint."""
    weights = (x @ x.T).softmax(1)
    lift = weights * (dy @ v.T)
    ds = lift - weights * (dy * (weights @ v)).sum(1, keepdim=True)
    return {
        "": (ds + ds.T) @ x,
        "this is the gradient of x as the query, of its own row. In which "
        "other scores does x_i stand?": ds @ x,
        "x as the key, yes. And as the query? The old term is gone.": ds.T @ x,
        "s is symmetric, dS is not: x_i in its own row and x_i in the rows of "
        "others are two different sums.": 2 * ds @ x,
        "both terms are there, but they add: nothing is averaged.": (
            (ds + ds.T) @ x / 2
        ),
        "both roles are there now. Who dropped D, the row's average?": (
            (lift + lift.T) @ x
        ),
    }


@exercise(
    "memory_saving-4", right="x asks and is asked: two roles, two terms."
)
def _slope(answer: Any) -> str | None:
    for n, channels, width in ((5, 3, 2), (9, 4, 6)):
        x, v, dy = _draw(n, channels), _draw(n, width, seed=1), _draw(n, width)
        got = answer(x.clone(), v.clone(), dy.clone())
        if not isinstance(got, Tensor) or got.shape != x.shape:
            return f"dx is a tensor of the shape of x, {tuple(x.shape)} here."
        known = _slopes(x, v, dy).items()
        hints = [hint for hint, slope in known if _near(got, slope)]
        if not hints:
            gap = (got.double() - _differences(x, v, dy)).abs().max()
            return f"off by {gap:.2g} from finite differences, in one entry."
        if hints[0]:
            return hints[0]
    return None


def _differences(x: Tensor, v: Tensor, dy: Tensor) -> Tensor:
    """Return the gradient of sum(dy * y) by central differences."""
    slope, step = torch.zeros_like(x), 1e-5
    for place in range(x.numel()):
        for sign in (1, -1):
            moved = x.clone()
            moved.view(-1)[place] += sign * step
            loss = (dy * ((moved @ moved.T).softmax(1) @ v)).sum()
            slope.view(-1)[place] += sign * loss / (2 * step)
    return slope
