"""One number of a claim: its readings, and the verdict that they give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from attnlib.catalog import Claim
from attnlib.cost import closed_form

HOLDS, IF, NOT, OPEN = "holds", "holds if", "not reproduced here", "open"


@dataclass(frozen=True)
class Entry:
    """One number of one claim.

    Attributes:
        key: the block.
        claim: as the catalogue has it, with its place in the paper.
        quantity: which number of the claim this is.
        printed: the number as the paper prints it, empty where nothing that
            is counted here can be compared with it.
        readings: what the claim may mean, to what we count for it.
        reason: why an open claim is open.
    """

    key: str
    claim: Claim
    quantity: str
    printed: str = ""
    readings: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def right(self) -> list[str]:
        """The readings under which the claim holds."""
        return [
            words
            for words, number in self.readings.items()
            if agrees(number, self.printed)
        ]

    @property
    def verdict(self) -> str:
        """Holds, holds if, not reproduced here, or open."""
        if not self.readings:
            return OPEN
        if not self.right:
            return NOT
        return HOLDS if len(self.right) == len(self.readings) else IF


def agrees(number: float, printed: str) -> bool:
    """Say whether a number rounds to what is printed.

    Args:
        number: what we count.
        printed: a decimal number; ``"400"`` has one digit, ``"400."`` three.

    Shape:
        - Output: True or False
    """
    if "." in printed:
        digits = len(printed.rstrip(".").partition(".")[2])
        return round(number, digits) == float(printed)
    zeros = len(printed) - len(printed.rstrip("0"))
    return round(number, -zeros) == float(printed)


def ratio(
    above: nn.Module, below: nn.Module, shape: tuple[int, ...],
    what: str = "macs", **impl: Any,
) -> float:  # fmt: skip
    """Divide the costs of two blocks on maps of one shape.

    Args:
        above: the block whose cost is divided.
        below: the block by whose cost it is divided.
        shape: ``(B, C, *S)``.
        what: a field of :class:`attnlib.cost.Cost`.
        impl: ``impl=`` of both.

    Shape:
        - Output: a number
    """
    costs = [closed_form(block, shape, **impl) for block in (above, below)]
    return float(getattr(costs[0], what) / getattr(costs[1], what))


def slope(block: nn.Module, first: int, last: int) -> float:
    """Return the exponent of multiply-adds in N between two square maps.

    Args:
        block: any block of the catalogue.
        first: side of the smaller map.
        last: side of the larger one.

    Shape:
        - Output: a number
    """
    c: int = block.in_channels  # type: ignore[assignment]
    macs = [closed_form(block, (1, c, s, s)).macs for s in (first, last)]
    return math.log(macs[1] / macs[0]) / math.log(last**2 / first**2)
