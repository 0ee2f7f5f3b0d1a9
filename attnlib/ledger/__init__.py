"""What papers claim about cost, recounted: one entry a number.

A claim of the catalogue says a number and leaves something open: which
variant, which rival, which unit. An entry counts every reading that we know.
The verdict follows from the numbers: a claim holds if all readings give what
is printed, holds *if* some do, and is not reproduced where none does.
"""

from __future__ import annotations

from attnlib.catalog import CATALOG, Claim
from attnlib.ledger.entry import Entry, agrees, ratio, slope
from attnlib.ledger.readings import COUNTED, OPEN

__all__ = ["Entry", "agrees", "ledger", "ratio", "slope"]


def _reason(key: str, claim: Claim) -> str:
    return next(
        reason
        for (block, word), reason in OPEN.items()
        if block == key and word in claim.text
    )


def ledger() -> list[Entry]:
    """Return an entry for each number of each claim, in the book's order.

    Shape:
        - Output: a list of :class:`Entry`; claims without a number that can
          be counted here are in it, as open
    """
    entries = []
    for key, info in CATALOG.items():
        counted = COUNTED[key](info.claims) if key in COUNTED else []
        entries += counted
        done = [entry.claim for entry in counted]
        entries += [
            Entry(key, claim, "", reason=_reason(key, claim))
            for claim in info.claims
            if claim not in done
        ]
    return entries
