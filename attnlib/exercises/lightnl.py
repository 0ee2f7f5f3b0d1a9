"""Checks of the chapter on LightNL, ``lightnl-1`` to ``-3``."""

from __future__ import annotations

import random
from typing import Any

from attnlib.exercises import exercise


@exercise("lightnl-1", right="two keys are summed, six positions divide.")
def _received(answer: Any) -> str | None:
    try:
        first, second = (float(number) for number in answer)
    except (TypeError, ValueError):
        return "two numbers are asked for: (first channel, second channel)."

    def near(a: float, b: float) -> bool:
        return abs(first - a) < 1e-3 and abs(second - b) < 1e-3

    if near(-5 / 6, -4 / 6):
        return None
    if near(5 / 6, 4 / 6):
        return "position 1 has the query -1: mind the sign."
    if near(-5 / 2, -2):
        return "divide by all positions of the map, not by the keys."
    if near(-7.5, -6):
        return "that is the port's factor W / H: the bracket is missing."
    if near(-5, -4):
        return "the sums are right: divide them by H W."
    if near(-2, -1):
        return "that is step 1: with step 2, which positions are keys?"
    return "keys are positions 0 and 2. Sum k v over them, then times q."


def _bill(height: int, width: int, c: int, r: float, t: int) -> int:
    """Return the multiply-adds of the cheaper order."""
    n, m = height * width, -(-height // t) * -(-width // t)
    d = int(r * c)
    return min(n * m * (d + c), (n + m) * d * c)


def _mistakes(
    height: int, width: int, c: int, r: float, t: int
) -> dict[str, float]:
    """Return what common mistakes yield, by the hint for each."""
    n, m = height * width, -(-height // t) * -(-width // t)
    fewer = (height // t) * (width // t)
    d, share = int(r * c), r * c
    right = _bill(height, width, c, r, t)
    return {
        "d is the whole part of r C: no channel is cut in pieces.": min(
            n * m * (share + c), (n + m) * share * c
        ),
        "d is cut off, not rounded.": min(
            n * m * (round(share) + c), (n + m) * round(share) * c
        ),
        "rows 0, t, 2 t, ... of H: that is H / t, rounded up.": min(
            n * fewer * (d + c), (n + fewer) * d * c
        ),
        "queries stay at every position: N, not M of them.": min(
            m * m * (d + c), 2 * m * d * c
        ),
        "both sums are right, but you pay for the dearer one.": max(
            n * m * (d + c), (n + m) * d * c
        ),
        "the map is not always the cheaper way.": n * m * (d + c),
        "the small matrix is not always the cheaper way.": (n + m) * d * c,
        "the two products alone: leave the filters out.": right + 9 * n * c,
        "a multiply-add counts once.": 2 * right,
    }


@exercise("lightnl-2", right="the bill of the bracket that you would choose.")
def _price(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns the multiply-adds."
    draw = random.Random(0)
    cases = [(7, 7, 48, 0.25, 2), (56, 56, 24, 0.25, 1), (7, 7, 320, 0.25, 1)]
    cases += [(9, 5, 45, 0.25, 2), (11, 10, 30, 0.29, 3), (8, 8, 40, 0.25, 2)]
    cases += [
        (
            draw.randint(2, 40),
            draw.randint(2, 40),
            draw.randint(8, 200),
            draw.choice((0.125, 0.25, 0.5, 1.0)),
            draw.randint(1, 4),
        )
        for _ in range(40)
    ]
    found = []
    for case in cases:
        value = answer(*case)
        if value is None:
            return "put your lines in place of the dots: it returned nothing."
        found.append(float(value))
    wanted = [_bill(*case) for case in cases]
    if all(abs(a - b) < 0.5 for a, b in zip(found, wanted, strict=True)):
        return None
    for hint in _mistakes(*cases[0]):
        mistaken = [_mistakes(*case)[hint] for case in cases]
        pairs = zip(found, mistaken, strict=True)
        if all(abs(a - b) < 0.5 for a, b in pairs):
            return hint
    return "not yet: count N, M and d first, then both products, each way."


@exercise("lightnl-3", right="the norm reads eps in units of the square.")
def _eps(answer: Any) -> str | None:
    try:
        eps = float(answer)
    except (TypeError, ValueError):
        return "one number is asked for."
    if abs(eps / 6.25e-5 - 1) < 1e-3:
        return None
    for value, hint in (
        (1.6e-2, "the other way: the official sums are smaller, not larger."),
        (2.5e-4, "a variance grows with the square of the factor."),
        (4e-3, "the other way, and a variance grows with the square."),
        (1e-3, "that leaves the official block as it is, not the other."),
    ):
        if abs(eps / value - 1) < 1e-3:
            return hint
    return "by which factor do the two sums differ? It is H W over M."
