"""Checks of the chapter on DMSANet, ``dmsanet-1`` to ``-3``."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise

E = math.e


def _pair(answer: Any) -> tuple[float, float] | None:
    """Return an answer of two numbers, or None."""
    try:
        first, second = (float(number) for number in answer)
    except (TypeError, ValueError):
        return None
    return first, second


def _near(found: tuple[float, float], wanted: tuple[float, float]) -> bool:
    return all(abs(a - b) < 6e-4 for a, b in zip(found, wanted, strict=True))


@exercise("dmsanet-1", right="the descriptors differ by less than two.")
def _ends(answer: Any) -> str | None:
    if (found := _pair(answer)) is None:
        return "two numbers are asked for: (smallest, largest)."
    low, high = 1 / (1 + 2 * E**2), 1 / (1 + 2 * E**-2)
    if _near(found, (low, high)):
        return None
    hints = (
        ((high, low), "the other way round: the smallest first."),
        (
            (1 / (1 + 2 * E), 1 / (1 + 2 / E)),
            "that is a sigmoid: here two descriptors may differ by nearly 2.",
        ),
        (
            (1 / (1 + E**2), 1 / (1 + E**-2)),
            "that is for two groups: each of three has two rivals.",
        ),
        (
            (1 / (1 + 3 * E**2), 1 / (1 + 3 * E**-2)),
            "that is for four groups: G - 1 rivals, and G is 3.",
        ),
        ((0.0, 1.0), "true of every softmax; here Z is bounded, so s is too."),
    )
    for wrong, hint in hints:
        if _near(found, wrong):
            return hint
    return "use the chapter's bound: what is delta, and how many rivals?"


def _shuffle(y: Tensor) -> Tensor:
    """Channel 2 c + g of the result is channel g C / 2 + c of y."""
    return y.unflatten(0, (2, -1)).transpose(0, 1).flatten(0, 1)


@exercise("dmsanet-2", right="the shuffle has moved into the columns.")
def _columns(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns a matrix like W."
    for outputs, channels in ((3, 8), (5, 12), (2, 2)):
        W = torch.randn(outputs, channels, dtype=torch.float64)
        y = torch.randn(channels, 7, dtype=torch.float64)
        found = answer(W.clone())
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, Tensor) or found.shape != W.shape:
            return f"a tensor of shape {tuple(W.shape)} is asked for."
        if torch.allclose(found @ y, W @ _shuffle(y)):
            continue
        if torch.allclose(found, W):
            return "these are the old columns in the old order."
        if torch.allclose(found, _shuffle(W.T).T):
            return (
                "the columns are shuffled as the channels were: they have to "
                "go back. Which column met channel 1 before the shuffle?"
            )
        return "not yet: your matrix times y must be W times the shuffled y."
    return None


def _wanted(x: Tensor, f: Tensor, z: Tensor) -> Tensor:
    return x + (f - x) * z.softmax(0)[..., None]


@exercise("dmsanet-3", right="the groups compete for what attention adds.")
def _start(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns a tensor like x."
    for groups, channels, n in ((2, 4, 6), (3, 2, 5), (5, 1, 1)):
        size = groups, channels, n
        x, f = torch.randn(2, *size, dtype=torch.float64)
        z = torch.randn(groups, channels, dtype=torch.float64)
        found = answer(x.clone(), f.clone(), z.clone())
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, Tensor) or found.shape != x.shape:
            return f"a tensor of shape {size} is asked for, like x."
        if torch.allclose(found, _wanted(x, f, z)):
            continue
        s = z.softmax(0)[..., None]
        if torch.allclose(found, groups * f * s):
            return (
                "G times the shares is x where all Z are equal. Here they "
                "differ: let the shares multiply something that is zero "
                "where F equals x."
            )
        if torch.allclose(found, x + f * s):
            return "where F equals x this is (1 + s) x: add less."
        if torch.allclose(found, f):
            return "x where F equals x, but the groups no longer compete."
        inner = z.softmax(1)[..., None]
        if torch.allclose(found, x + (f - x) * inner):
            return (
                "the groups compete, so the softmax runs over the first axis."
            )
        same = answer(x.clone(), x.clone(), z.clone())
        if not torch.allclose(same, x):
            return "where F equals x the output must be x, whatever Z says."
        return "x at the start; but the shares must scale what F adds to x."
    return None
