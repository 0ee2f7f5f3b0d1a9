"""Checks of the chapter on interlaced attention, ``isanet-1`` and ``-2``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attnlib.exercises import exercise

Pair = tuple[int, int]
HEIGHT, WIDTH = 48, 36


def _pair(answer: Any) -> Pair | None:
    """Return an answer of two whole numbers, or None."""
    try:
        first, second = answer
        pair = int(first), int(second)
    except (TypeError, ValueError):
        return None
    return pair if pair == (first, second) else None


@exercise("isanet-1", right="36 and 48 multiply to N and add to 84.")
def _factor(answer: Any) -> str | None:
    if (pair := _pair(answer)) is None:
        return "a pair of whole numbers is asked for: (dh, dw)."
    if min(pair) < 1:
        return "a window has at least one row and one column."
    if HEIGHT % pair[0] or WIDTH % pair[1]:
        if HEIGHT % pair[1] == WIDTH % pair[0] == 0:
            return "the other way round: dh divides 48, dw divides 36."
        return "it does not divide the map: there would be padding."
    window = pair[0] * pair[1]
    groups = HEIGHT * WIDTH // window
    if {window, groups} == {36, 48}:
        return None
    if 1 in (window, groups):
        return "one lattice or one window is the whole map: that is dense."
    return (
        f"{window} in a window and {groups} in a lattice: that is "
        f"{window + groups} weights. Come closer to the root of N."
    )


def _meeting(i: Pair, j: Pair, factor: Pair) -> Pair:
    """In the window of i, at the place that j has in its own."""
    (a, b), (c, d), (dh, dw) = i, j, factor
    return a // dh * dh + c % dh, b // dw * dw + d % dw


def _opposite(i: Pair, j: Pair, factor: Pair) -> Pair:
    return _meeting(j, i, factor)


def _window_number(i: Pair, j: Pair, factor: Pair) -> Pair:
    (a, b), (c, d), (dh, dw) = i, j, factor
    return a // dh + c % dh, b // dw + d % dw


def _place(i: Pair, j: Pair, factor: Pair) -> Pair:
    return j[0] % factor[0], j[1] % factor[1]


def _start(i: Pair, j: Pair, factor: Pair) -> Pair:
    (a, b), (dh, dw) = i, factor
    return a // dh * dh, b // dw * dw


def _turned(i: Pair, j: Pair, factor: Pair) -> Pair:
    return _meeting(i, j, (factor[1], factor[0]))


_MISTAKES: tuple[tuple[Callable[[Pair, Pair, Pair], Pair], str], ...] = (
    (
        _opposite,
        "that is the path from i to j: the last step is the window of i.",
    ),
    (
        _window_number,
        "i // d is the number of the window; where does it start?",
    ),
    (_place, "that is the place in the window: in which window?"),
    (_start, "that is the corner of the window of i: at which place in it?"),
    (_turned, "dh belongs to rows, dw to columns."),
)
_CASES: tuple[tuple[Pair, Pair, Pair], ...] = (
    ((7, 9), (2, 14), (3, 4)),
    ((0, 11), (11, 0), (3, 4)),
    ((5, 5), (5, 5), (3, 2)),
    ((4, 1), (9, 10), (2, 6)),
)


@exercise("isanet-2", right="one window, one lattice, one position in both.")
def _path(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: meeting(i, j, factor)."
    results = []
    for case in _CASES:
        given = answer(*case)
        if given is None:
            return "put your lines in place of the dots: it returned nothing."
        if (pair := _pair(given)) is None:
            return "it must return a pair of whole numbers: (row, column)."
        results.append(pair)
    if results == [_meeting(*case) for case in _CASES]:
        return None
    for mistake, hint in _MISTAKES:
        if results == [mistake(*case) for case in _CASES]:
            return hint
    return (
        "not yet: the position lies in the window of i, at the place that j "
        "has in its own window."
    )
