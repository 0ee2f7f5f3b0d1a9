"""The ledger: verdicts as they are, and numbers recounted by running."""

from __future__ import annotations

from collections import Counter

import pytest

from attnlib import NonLocal, create_block, ledger, measured
from attnlib.catalog import CATALOG
from attnlib.cost import count

BOOK = ledger.ledger()
# Block, quantity, what is printed, verdict, the readings that agree.
VERDICTS = [
    ("nonlocal", "parameters", "1.2", "holds", None),
    ("nonlocal", "multiply-adds", "1.2", "holds if", "pooling: before"),
    ("nonlocal", "multiply-adds", "0.5", "holds", None),
    ("nonlocal", "multiply-adds", "0.25", "holds", None),
    (
        "ccnet", "share of FLOPs saved", "0.85", "holds if",
        "rival: position attention, d = C/8",
    ),
    ("emanet", "G FLOPs", "43.1", "holds if", "with the convolution"),
    ("emanet", "M parameters", "10.0", "holds if", "with the convolution"),
    ("emanet", "G FLOPs", "21.1", "not reproduced here", None),
    ("emanet", "M parameters", "4.87", "holds if", "with the convolution"),
    ("lightnl", "times cheaper", "400", "holds if", "full width, r = 0.25"),
    ("nlsa", "exponent of N", "1.0", "holds", None),
]  # fmt: skip


def test_verdicts_are_these() -> None:
    counted = [entry for entry in BOOK if entry.readings]
    found = [(e.key, e.quantity, e.printed, e.verdict) for e in counted]
    assert found == [line[:4] for line in VERDICTS]
    for entry, (*_, words) in zip(counted, VERDICTS, strict=True):
        if words is not None:
            (right,) = entry.right
            assert right.startswith(words)


def test_every_claim_of_the_catalogue_is_in_it() -> None:
    there = Counter(entry.claim for entry in BOOK)
    for key, info in CATALOG.items():
        for claim in info.claims:
            assert there[claim] >= 1, (key, claim.text)
    assert {e.key for e in BOOK} <= set(CATALOG)


def test_open_claims_quote_the_stored_gpu() -> None:
    """Time is a ratio to the dense block already, memory is divided here."""
    found = {
        (row["subject"], row["impl"], row["passes"]): row
        for row in measured.load("cuda")["rows"]
        if row["shape"] == [8, 512, 97, 97]
    }

    def times(key: str, impl: str, passes: str) -> str:
        dense = found["nonlocal", "reference", passes]["peak_bytes"]
        return f"{dense / found[key, impl, passes]['peak_bytes']:.1f}"

    (cross,) = (e for e in BOOK if e.quantity == "GPU memory")
    low, high = (times("ccnet", i, "both") for i in ("reference", "merged"))
    assert f"{low} to {high} times less" in cross.reason
    (pyramid,) = (e for e in BOOK if "faster" in e.claim.text)
    forms = "reference", "anchored"
    low, high = (times("annnet", i, "forward") for i in forms)
    assert f"peak {low} to {high} times less" in pyramid.reason
    quick = [1 / found["annnet", i, "forward"]["to_dense"] for i in forms]
    words = f"{min(quick):.1f} to {max(quick):.1f} times as fast"
    assert words in pyramid.reason


def test_open_claims_say_why_and_count_nothing() -> None:
    for entry in BOOK:
        is_open = entry.verdict == "open"
        assert is_open == bool(entry.reason) == (not entry.printed)
        assert is_open == (not entry.readings)


@pytest.mark.parametrize(
    ("number", "printed", "wanted"),
    [
        (1.238, "1.2", True), (1.328, "1.2", False), (9.994, "10.0", True),
        (9.94, "10.0", False), (385.9, "400", True), (303.2, "400", False),
        (12.4, "12", True), (12.6, "12", False),
    ],
)  # fmt: skip
def test_agreement(number: float, printed: str, wanted: bool) -> None:
    assert ledger.agrees(number, printed) is wanted


def test_a_ratio_is_that_of_counts() -> None:
    """Blocks that run, not formulas, on a map that a test can afford."""
    shape = (1, 32, 12, 10)
    blocks = [create_block("nonlocal", 32), NonLocal(32, inter_channels=32)]
    for what in ("macs", "parameters"):
        wanted = [
            getattr(count(b, shape, impl="reference"), what) for b in blocks
        ]
        found = ledger.ratio(*blocks, shape, what, impl="reference")
        assert found == wanted[0] / wanted[1]


def test_slopes() -> None:
    dense = create_block("nonlocal", 32, impl="reference")
    assert 1.9 < ledger.slope(dense, 128, 256) < 2
    window = create_block("san", 32)
    assert ledger.slope(window, 32, 64) == pytest.approx(1)
