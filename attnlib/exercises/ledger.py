"""Checks of the chapter on claims about cost, ``ledger-1`` and ``-2``."""

from __future__ import annotations

from typing import Any

from attnlib.exercises import exercise


@exercise("ledger-1", right="the printed numbers hide half of it.")
def _times(answer: Any) -> str | None:
    try:
        times = float(answer)
    except (TypeError, ValueError):
        return "one number is asked for: how many times as many."

    def near(wanted: float) -> bool:
        return abs(times / wanted - 1) < 0.01

    if near(43.1 / 4):
        return None
    if near(43.1 / 8):
        return "that divides what is printed: the two papers differ in unit."
    if near(43.1 / 16):
        return "the other way: which of the two counts a multiply-add twice?"
    if near(4 / 43.1) or near(8 / 43.1):
        return "upside down: the first over the second."
    return "43.1 G multiply-adds, and 8 G operations that are half as large."


_CASES = (
    (9.996, "10.0", True), (9.94, "10.0", False), (1.238, "1.2", True),
    (1.328, "1.2", False), (0.847, "0.85", True), (0.835, "0.85", False),
    (385.9, "400", True), (303.2, "400", False), (12.3, "12", True),
    (12.6, "12", False), (20.97, "21.1", False), (104.2, "104", True),
    (98.0, "104", False), (1180.0, "1200", True), (1130.0, "1200", False),
    (4.866, "4.87", True), (10.3, "10.0", False),
)  # fmt: skip


@exercise("ledger-2", right="the number decides, and no tolerance of yours.")
def _rounds(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: of a number and a string."
    for number, printed, wanted in _CASES:
        found = answer(number, printed)
        if found is None:
            return "put your lines in place of the dots: it returned None."
        if bool(found) == wanted:
            continue
        does = "does" if wanted else "does not"
        hint = "count the digits behind the point in the string."
        if "." not in printed:
            hint = (
                "zeros at the end of a whole number are no digits."
                if printed.endswith("0")
                else "without a point, round to a whole number."
            )
        return f'{number} {does} round to "{printed}": {hint}'
    return None
