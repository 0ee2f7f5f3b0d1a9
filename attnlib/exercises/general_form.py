"""Checks of the chapter on the general form."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from attnlib.exercises import exercise

DOTS = "put your lines in place of the dots: the function returned nothing."
CASE = tuple[Tensor, Tensor, Tensor]


def _numbers(answer: object) -> tuple[float, float] | None:
    """Return an answer of two numbers, or None."""
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
    dot, side = found
    if found == (3, 2):
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


def _case(queries: int, keys: int, width: int) -> CASE:
    a, b = torch.randn(queries).double(), torch.randn(keys).double()
    return a, b, torch.randn(keys, width).double()


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


class _AllPairs(Exception):
    """As many numbers as there are pairs."""


class _Meter(TorchDispatchMode):
    """Stop once the results hold ``limit`` numbers, alone or together."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.total, self.calls = limit, 0, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        results = func(*args, **(kwargs or {}))
        self.calls += 1
        every = results if isinstance(results, (tuple, list)) else [results]
        for result in every:
            size = result.numel() if isinstance(result, Tensor) else 0
            self.total += size
            if self.total >= self.limit:
                raise _AllPairs("map" if size >= self.limit else "loop")
        return results


def _lean(answer: Callable[..., Any]) -> str | None:
    """Refuse all pairs of a few positions; then run 60,000."""
    loop = "right, but all pairs are gone through, a part at a time: sort."
    table = "right, but at 60,000 positions your map would take 28.8 GB."
    tracemalloc.start()  # sees NumPy, which the meter does not
    try:
        answer(*_case(500, 500, 1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak >= 4 * 500**2:
        return table
    with _Meter(9):  # PyTorch imports what a meter needs
        torch.zeros(1)
    start = time.process_time()
    try:
        with _Meter(2000**2 // 2) as meter:
            answer(*_case(2000, 2000, 2))
    except _AllPairs as found:
        return table if str(found) == "map" else loop
    if time.process_time() - start > 0.2:  # a loop, of tensors or not
        return loop if meter.calls < 2000 else None
    a, b, v = _case(60_000, 60_000, 1)
    y = torch.as_tensor(answer(a.clone(), b.clone(), v))
    if not _near(y[::9999], _absolute(a[::9999], b, v)):
        return "right for few positions, not for 60,000: what differs?"
    return None


@exercise(
    "form-3",
    right="the values of all pairs, and 60,000 positions without 28.8 GB.",
)
def _sort(answer: Any) -> str | None:
    a, b, v = _case(30, 40, 2)
    cases = [_case(7, 5, 3), _case(1, 9, 1), (a.round(), b.round(), v)]
    cases += [(a + 50, b, v), (a - 50, b, v)]  # ties; all keys on one side
    for case in cases:
        if hint := _same(answer, case):
            return hint
    return _lean(answer)


def _outputs(f: Callable[..., Any], x: Tensor) -> Tensor | None:
    """Return y for the largest parameter at which it is still finite."""
    last = None
    for beta in (1, 10, 100, 1e3, 1e4, 1e6, 1e10, 1e30, 1e100, 1e300):
        try:
            rows = [[float(f(s, t, beta)) for t in x] for s in x]
        except OverflowError:  # of math.exp
            return last
        weights = torch.tensor(rows, dtype=x.dtype)
        y = weights @ x / weights.sum(1)
        if not y.isfinite().all():
            return last
        last = y
    return last


def _peak(f: Callable[..., Any], x: Tensor) -> str | None:
    if (y := _outputs(f, x)) is None:
        return "at beta = 1, y is no number: is the sum of f zero or infinite?"
    if (y - x.max()).abs().max() < 0.01:
        return None
    for wrong, hint in (
        (x.min(), "y becomes the minimum: mind the signs, beta's and x's."),
        (x.mean(), "y stays the mean: beta must sharpen the weights."),
        (x, "each position hears itself alone: whom should it hear?"),
    ):
        if (y - wrong).abs().max() < 0.01:
            return hint
    if y.max() - y.min() > 0.01:
        return "the rows of y differ, though all want the same: what is x_i?"
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
        if hint := _peak(answer, torch.tensor(row).double()):
            return hint
    return None


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
    if not 0.98 <= share <= 1:
        return (
            "count the rows whose largest weight stands on the diagonal; "
            "with features of one length, who could beat the pixel itself?"
        )
    if factor not in {10.0**power for power in range(-3, 9)}:
        return "the share is right; the factor is to be a power of ten."
    if factor < 100:
        return "the share is right; the factor leaves less than half on it."
    return None if factor == 100 else "a smaller power of ten suffices."
