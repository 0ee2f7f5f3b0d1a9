"""Answers to the exercises on claims about cost: wrong and right."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import torch


def by_round(number: float, printed: str) -> bool:
    whole, _, decimals = printed.partition(".")
    zeros = 0 if decimals else len(whole) - len(whole.rstrip("0"))
    digits = len(decimals) or -zeros
    return round(number, digits) == float(printed)


def by_decimal(number: float, printed: str) -> bool:
    step = Decimal(printed)
    if "." not in printed:
        step = Decimal(printed.rstrip("0") + "e0").scaleb(
            len(printed) - len(printed.rstrip("0"))
        )
    quantum = Decimal(1).scaleb(step.as_tuple().exponent)
    found = Decimal(str(number)).quantize(quantum, ROUND_HALF_EVEN)
    return found == Decimal(printed)


def decimals_alone(number: float, printed: str) -> bool:
    digits = len(printed.partition(".")[2])
    return round(number, digits) == float(printed)


WRONG = {
    "ledger-1": [
        (43.1 / 8, "differ in unit"),
        (43.1 / 16, "the other way"),
        (4 / 43.1, "upside down"),
        (2.0, "half as large"),
        ("ab", "one number"),
    ],
    "ledger-2": [
        (decimals_alone, "are no digits"),
        (lambda n, p: round(n) == round(float(p)), "behind the point"),
        (lambda n, p: str(n) == p, "behind the point"),
        (lambda n, p: "." in p and by_round(n, p), "are no digits"),
        (lambda n, p: p != "12" and by_round(n, p), "without a point"),
        (lambda n, p: None, "in place of the dots"),
        (3, "a function is asked for"),
    ],
}
RIGHT = {
    "ledger-1": [10.775, 43.1 / 4, torch.tensor(10.8), np.float64(10.8)],
    "ledger-2": [by_round, by_decimal],
}
