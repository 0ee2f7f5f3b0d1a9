"""Checks of the chapter on A2-Net."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise
from attnlib.functional import double_attention


def _twice(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return a @ b.softmax(-1).mT @ v.softmax(-1)


def _mean(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return _twice(a, b, v) / a.shape[-1]


def _batch(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return a @ b.softmax(0).mT @ v.softmax(0)


_PORTS = {
    "block": double_attention,
    "twice": _twice,
    "mean": _mean,
    "batch": _batch,
}


def _six(answer: Any) -> Tensor | None:
    try:
        got = torch.as_tensor(answer, dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError):
        return None
    return got.detach() if len(got) == 6 and got.isfinite().all() else None


@exercise(
    "a2net-1",
    right="14, 14, 41, 23, 14 and 14 parts of 120: an average of averages.",
)
def _row(answer: Any) -> str | None:
    got = _six(answer)
    if got is None:
        return "six numbers are asked for, one for each position j."
    first = torch.tensor([1.0, 1, 4, 2, 1, 1], dtype=torch.float64) / 10
    second = torch.full((6,), 1 / 6, dtype=torch.float64)

    def close(expected: Tensor) -> bool:
        return torch.allclose(got, expected, rtol=0, atol=6e-4)

    if close(0.75 * first + 0.25 * second):
        return None
    if close(0.25 * first + 0.75 * second):
        return "the jars are swapped: position 1 takes 3/4 from the first."
    if close(0.5 * first + 0.5 * second):
        return "that is row 0: position 1 takes 3/4 from the first jar."
    if close(first):
        return "that is the first jar alone; a quarter comes from the other."
    if abs(got.sum().item() - 1) > 6e-3:
        return f"a row of A sums to one, these six to {got.sum().item():.4g}."
    return "mix the two rows of P, 3/4 of the first and 1/4 of the second."


@exercise(
    "a2net-2",
    right="each is known by what it makes of its inputs, at any seed.",
)
def _inspector(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it gets f, and returns a name."
    for seed in range(3):
        for name, port in _PORTS.items():
            torch.manual_seed(seed)
            got = answer(port)
            if got not in _PORTS:
                return (
                    'the answer is "block", "twice", "mean" or "batch", '
                    f"got {got!r}."
                )
            if got != name:
                return _confused(name, got)
    return None


def _confused(name: str, got: str) -> str:
    pair = {name, got}
    if pair == {"twice", "mean"}:
        return (
            f'"{name}" was taken for "{got}": ones tell that neither is the '
            "block; how high do they come out, n/N or n/N^2?"
        )
    if pair == {"block", "batch"}:
        return (
            f'"{name}" was taken for "{got}": does the first image change '
            "when the others leave?"
        )
    return (
        f'"{name}" was taken for "{got}": send ones through it, on sizes '
        "with n other than N."
    )


def _orders(n_: int, c: int, m: int, n: int) -> dict[str, int]:
    scores = 2 * n * c * n_
    plain = n_ * m * c + n_ * m * n
    moved = n_ * n * c + n * m * c
    return {
        "best": scores + 2 * min(plain, moved),
        "plain": scores + 2 * plain,
        "folded": scores + 2 * moved,
        "scores": 2 * min(plain, moved),
        "half": scores + min(plain, moved),
    }


@exercise(
    "a2net-3",
    right="and the two halves agree: a mixed order never wins alone.",
)
def _cheapest(answer: Any) -> str | None:
    if not callable(answer):
        return "a function of N, C, m and n is asked for."
    cases = ((4096, 64, 16, 16), (49, 512, 128, 128), (4096, 64, 8, 40))
    hints = {
        "plain": "there it is cheaper to pool first and to fold W.",
        "folded": "there it is cheaper not to move anything.",
        "scores": "the scores b and v cost something too.",
        "half": "there are two sums to move, before and behind.",
    }
    for case in cases:
        orders = _orders(*case)
        got = answer(*case)
        if isinstance(got, bool) or not isinstance(got, int | float):
            return f"one number comes back, got {got!r}."
        if got == orders["best"]:
            continue
        where = "N, C, m, n = {}, {}, {}, {}: ".format(*case)
        if got == 2 * orders["best"]:
            return where + "these are FLOPs, two for each multiply-add."
        for name, hint in hints.items():
            if got == orders[name]:
                return where + hint
        return (
            where + f"the cheapest takes {orders['best']:,}, you have "
            f"{got:,.0f}. Count b and v, then each half by itself."
        )
    return None
