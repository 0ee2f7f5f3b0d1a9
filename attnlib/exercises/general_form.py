"""Checks of the chapter on the general form."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise
from attnlib.exercises._pairs import (
    CASE,
    AllPairs,
    Meter,
    draw,
    slow,
    timed,
)

DOTS = "put your lines in place of the dots: the function returned nothing."


def _numbers(answer: object) -> tuple[float, float] | None:
    """Return an answer of two numbers, in order, or None."""
    if isinstance(answer, (str, bytes, set, frozenset, dict)):
        return None
    try:
        first, second = (float(value) for value in answer)  # type: ignore
        return first, second
    except (TypeError, ValueError):
        return None


@exercise(
    "form-1",
    right="three doublings under the dot product, two under concatenation.",
)
def _factors(answer: object) -> str | None:
    if (found := _numbers(answer)) is None:
        return "two numbers are wanted: (dot product, concatenation)."
    dot, side = (round(value, 2) for value in found)  # or measured
    if (dot, side) == (4, 8):
        return "mind the order: (dot product, concatenation)."
    if (dot, side) == (3, 2):
        return "you counted doublings: which factor do they make together?"
    if dot == 4:
        return "4 is what f alone does under the dot product: and h?"
    if dot != 8:
        return "in f h, how many projections of x are multiplied together?"
    hints = {
        8.0: "8 is right for the dot product. Side by side, the two of a "
        "pair are not multiplied with each other.",
        2.0: "8 is right for the dot product. Concatenation has an h, too.",
    }
    rest = "8 is right for the dot product. What is ReLU(2 t)?"
    return None if side == 4 else hints.get(side, rest)


def _absolute(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return (a[:, None] + b).abs() @ v / len(b)


def _near(y: Tensor, wanted: Tensor) -> bool:
    slack = 1e-5 * max(1.0, wanted.abs().max().item())
    return bool((y - wanted).abs().max() <= slack)


def _mistakes(a: Tensor, b: Tensor, v: Tensor) -> dict[str, Tensor]:
    """What a wrong idea would give, by the hint against it."""
    t = (a[:, None] + b) / len(b)
    y = t.abs() @ v
    return {
        "these are the sums of the ReLU: a key left of the cut counts too, "
        "with its sign turned.": t.relu() @ v,
        "nothing bends at the cut: left of it a_i + b_j is negative, and "
        "|a_i + b_j| is not.": t @ v,
        "this is twice the ReLU: at t = 1, how does 2 ReLU(t) differ from "
        "|t|?": 2 * t.relu() @ v,
        "the second pair of sums has the wrong sign: try a single key with "
        "a + b = 1.": (2 * t.relu() + t) @ v,
        "the sums are right; the normaliser is missing.": y * len(b),
        "the sums are right; is the normaliser the number of queries or that "
        "of keys?": y * len(b) / len(a),
    }


def _same(answer: Callable[..., Any], case: CASE) -> str | None:
    """Compare the answer with all pairs; return a hint or None."""
    y = answer(*(t.clone() for t in case))
    if y is None:
        return DOTS
    y, wanted = torch.as_tensor(y), _absolute(*case)
    if y.shape != wanted.shape:
        return f"y should be {tuple(wanted.shape)}, it is {tuple(y.shape)}."
    if _near(y, wanted):
        return None
    for hint, mistaken in _mistakes(*case).items():
        if _near(y, mistaken):
            return hint
    a, b, v = case
    if _near(y, _absolute(a, b.sort().values, v)):
        return "when you sort b, do the values move along?"
    return (
        "not yet the sum of |a_i + b_j| v_j: on the five keys of the figure, "
        "the query a = 1 must give 5 y = 18."
    )


def _lean(answer: Callable[..., Any]) -> str | None:
    """Refuse all pairs of a few positions; then run 60,000."""
    loop = "right, but all pairs are gone through, a part at a time: sort."
    table = "right, but at 60,000 positions your map would take 28.8 GB."
    tracemalloc.start()  # sees NumPy, which the meter does not
    try:
        answer(*draw(500, 500, 1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak >= 4 * 500**2:
        return table
    with Meter(9):  # PyTorch imports what a meter needs
        torch.zeros(1)
    try:
        with Meter(2000**2 // 2):
            case = draw(2000, 2000, 2)
            _, seconds = timed(answer, case)
    except AllPairs as found:
        return table if str(found) == "map" else loop
    if seconds > 0.1 and slow(answer, 2000, seconds):
        return loop
    if seconds > 0.2:  # a loop over queries: 60,000 would take too long
        return None
    a, b, v = draw(60_000, 60_000, 2)
    case = a.clone(), b.clone(), v
    y, seconds = timed(answer, case)
    if not _near(torch.as_tensor(y)[::9999], _absolute(a[::9999], b, v)):
        return "right for few positions, not for 60,000: what differs?"
    return loop if seconds > 0.5 and slow(answer, 60_000, seconds) else None


@exercise(
    "form-3",
    right="the values of all pairs, and 60,000 positions without 28.8 GB.",
)
def _sort(answer: Any) -> str | None:
    a, b, v = draw(30, 40, 2)
    cases = [draw(7, 5, 3), draw(1, 9, 1), (a.round(), b.round(), v)]
    cases += [(a + 50, b, v), (a - 50, b, v)]  # ties; all keys on one side
    for case in cases:
        if hint := _same(answer, case):
            return hint
    return _lean(answer)


def _outputs(f: Callable[..., Any], x: Tensor) -> list[Tensor]:
    """Return y for growing parameters, as long as it is finite."""
    found: list[Tensor] = []
    for power in (*range(41), 100, 300, 1000):
        try:
            rows = [[float(f(s, t, 2.0**power)) for t in x] for s in x]
        except OverflowError:  # of math.exp
            return found
        weights = torch.tensor(rows, dtype=x.dtype)
        y = weights @ x / weights.sum(1)
        if not y.isfinite().all():
            return found
        found.append(y)
    return found


def _peak(f: Callable[..., Any], x: Tensor, slack: float) -> str | None:
    if not (found := _outputs(f, x)):
        return "at beta = 1, y is no number: is the sum of f zero or infinite?"
    y = found[-1]
    if slack < 0.01 and (y - found[0]).abs().max() < 1e-9:
        return "y is the same for every beta: where does beta enter?"
    if (y - x.max()).abs().max() < slack:
        return None
    for wrong, hint in (
        (x.min(), "y becomes the minimum: mind the signs, beta's and x's."),
        (x.mean(), "y stays the mean: beta must sharpen the weights."),
        (x, "each position hears itself alone: whom should it hear?"),
    ):
        if (y - wrong).abs().max() < slack:
            return hint
    if y.max() - y.min() > slack:
        return "the rows of y differ, though all want the same: what is x_i?"
    if slack < 0.01:
        return "two values that differ by 0.01 share the weight at any beta."
    return f"the largest value is {x.max():.2f}, but y stays at {y[0]:.2f}."


@exercise(
    "form-4", right="the limit is the maximum, whatever the signs and ties."
)
def _maximum(answer: Any) -> str | None:
    half = torch.tensor(0.5).double()
    if answer(half, half, 1.0) is None:
        return DOTS
    for row in (
        [0.3, -0.55, 0.8, 0.1, 0.65],
        [-0.2, -0.9, -0.4],
        [0.5, 0.5, -0.7, 0.5],  # ties
        [0.3, 0.3],
    ):
        if hint := _peak(answer, torch.tensor(row).double(), 0.01):
            return hint
    close = torch.tensor([0.0, -0.4, 0.01, -0.02]).double()
    return _peak(answer, close, 0.004)


@exercise(
    "form-5",
    right="on one scale everybody prefers themselves, but faintly.",
)
def _sharp(answer: object) -> str | None:
    if (found := _numbers(answer)) is None:
        return "two numbers are wanted: (share that prefers itself, factor)."
    share, factor = found
    share = share / 100 if share > 1 else share
    if share < 0.12:
        return (
            "that is the share before the division: divide each position by "
            "the length of its own 27 numbers."
        )
    if not 0.95 <= share <= 1:  # float32 loses some of the twins
        return (
            "count the rows whose largest weight stands on the diagonal; "
            "with features of one length, who could beat the pixel itself?"
        )
    if factor not in {10.0**power for power in range(-3, 9)}:
        return "the share is right; the factor is to be a power of ten."
    if factor < 100:
        return "the share is right; the factor leaves less than half on it."
    return None if factor == 100 else "a smaller power of ten suffices."
