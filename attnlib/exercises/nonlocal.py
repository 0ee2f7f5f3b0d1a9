"""Checks of the chapter on the non-local block, ``nonlocal-1`` to ``-3``."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attnlib.exercises import exercise


def _pair(answer: Any) -> tuple[float, float] | None:
    """Return an answer of two numbers, or None."""
    try:
        first, second = (float(number) for number in answer)
    except (TypeError, ValueError):
        return None
    return first, second


def _near(
    found: tuple[float, float], wanted: tuple[float, float], by: float
) -> bool:
    return all(abs(a - b) < by for a, b in zip(found, wanted, strict=True))


@exercise("nonlocal-1", right="and neither is the old answer with a minus.")
def _turned(answer: Any) -> str | None:
    if (found := _pair(answer)) is None:
        return "two numbers are asked for: (after, before)."
    hints = (
        ((2.0, -2.0), None),
        ((-2.0, 2.0), "the other way round: after first."),
        (
            (-3.0, -2.0),
            "before is right. After: the maximum of -g is minus the minimum "
            "of g.",
        ),
        ((3.0, 2.0), "these are the answers for g = a - b."),
        (
            (2.0, -3.0),
            "after is right. Before: the last column is in no window.",
        ),
    )
    for pair, hint in hints:
        if _near(found, pair, 1e-6):
            return hint
    if abs(found[0] - 2) < 1e-6:
        return "after is right. Before: the largest b less the largest a."
    if abs(found[1] + 2) < 1e-6:
        return "before is right. After: the largest of four values b - a."
    return "one window, positions 0, 1, 3 and 4, and one key of weight 1."


def _branch(
    x: Tensor,
    theta: Tensor,
    phi: Tensor,
    g: Tensor,
    *,
    place: str | None = "before",
    power: float = -0.5,
    queries: bool = False,
    axis: int = 1,
) -> Tensor:
    """Return y, (C, H, W) -> (d, H, W), rightly or in a wrong way."""
    few = F.max_pool2d(x, 2) if place == "before" else x
    q = torch.einsum("dc,chw->dhw", theta, x)
    k, v = (torch.einsum("dc,chw->dhw", w, few) for w in (phi, g))
    if place == "after":
        k, v = F.max_pool2d(k, 2), F.max_pool2d(v, 2)
    if queries:
        q = F.interpolate(F.max_pool2d(q, 2)[None], x.shape[1:])[0]
    scores = q.flatten(1).T @ k.flatten(1) * len(theta) ** power
    return (v.flatten(1) @ scores.softmax(axis).T).view(-1, *x.shape[1:])


_MISTAKES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"place": "after"}, "that pools after the projections, as the ports do."),
    (
        {"place": "after", "power": 0.0},
        "that is the sentence of the paper: pooled after, no scale.",
    ),
    ({"place": None}, "nothing is pooled: M should be a quarter of N."),
    ({"place": None, "power": 0.0}, "neither pooled nor scaled."),
    ({"power": 0.0}, "the pooling is right; the factor is missing."),
    ({"power": 0.5}, "the factor is the wrong way up: d to the power -1/2."),
    ({"power": -1.0}, "divided by d: the factor is its root."),
    ({"queries": True}, "the queries stay at full size."),
    ({"axis": 0}, "softmax over the keys, so that each row sums to one."),
)


@exercise("nonlocal-2", right="pooled first, scaled, one answer a position.")
def _fair(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns y of one image."
    for c, d, h, w in ((6, 3, 4, 6), (8, 4, 5, 7), (4, 2, 2, 2)):
        x = torch.randn(c, h, w, dtype=torch.float64)
        weights = torch.randn(3, d, c, dtype=torch.float64)
        found = answer(x.clone(), *weights.clone())
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, Tensor) or found.shape != (d, h, w):
            shape = tuple(getattr(found, "shape", ()))
            return f"y has the shape {(d, h, w)} here, got {shape}."
        if torch.allclose(found, _branch(x, *weights)):
            continue
        for options, hint in _MISTAKES:
            if torch.allclose(found, _branch(x, *weights, **options)):
                return hint
        return "not yet y: pool x, project it twice, softmax over the keys."
    return None


@exercise("nonlocal-3", right="nearly as much again as the network itself.")
def _ten(answer: Any) -> str | None:
    if (found := _pair(answer)) is None:
        return "two numbers are asked for: (millions, factor)."
    if found[0] > 1e6:
        return "the parameters are asked for in millions."
    hints = (
        ((14.717, 1.833), None),
        ((14.701, 1.833), "almost: each norm has 2 C parameters."),
        ((14.717, 2.149), "that is pooled after; the code pools before."),
        ((14.717, 3.068), "that is not pooled; the code pools before."),
        ((14.717, 0.833), "the factor of the whole, the network included."),
        ((14.717, 1.473), "that is against the ResNet-101."),
        ((11.567, 1.946), "four blocks stand in res3 and six in res4."),
        ((7.358, 1.417), "that is five blocks, not ten."),
    )
    for pair, hint in hints:
        if _near(found, pair, 6e-3):
            return hint
    if abs(found[0] - 14.717) < 6e-3:
        return "the parameters are right. Divide by the ResNet-50, add one."
    if abs(found[1] - 1.833) < 6e-3:
        return "the factor is right. Parameters: 4 C d + 3 d + 3 C a block."
    return "four times one_block of res3 and six times that of res4."
