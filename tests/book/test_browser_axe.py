"""Everybody can read every built page: axe-core, in light and in dark.

A file of its own, so that a second worker has it while the first one has
test_browser.py.
"""

from __future__ import annotations

from typing import Any

import page_checks
import pytest
from browser import opened, record
from page_checks import Known
from visits import PAGES, SCHEMES, turn, visit

pytestmark = pytest.mark.pages

# What may change when the page turns light; the rest has been looked at.
COLOURS = ("color-contrast", "link-in-text-block")
KNOWN_FAULTS = (
    Known(
        "region",
        ".bd-sidebar-primary .sidebar-primary-item:has(> .navbar-brand)",
        "the theme's layout puts the book's title above the navigation, "
        "outside its landmark; the same link is the navigation's first entry",
    ),
)


def test_everybody_can_read_every_page(browser: Any, site: str) -> None:
    faults: list[str] = []
    low: dict[str, set[str]] = {scheme: set() for scheme in SCHEMES}
    used: set[Known] = set()
    used_errors: set[str] = set()
    with opened(browser, home=site) as page:
        for name in PAGES:
            # The page comes in dark here, in test_browser.py in light.
            visit(page, site, name, "dark")
            page_checks.prepare(page)
            for scheme, rules in (("dark", ()), ("light", COLOURS)):
                turn(page, scheme)
                found = page_checks.accessibility(
                    page, KNOWN_FAULTS, used, rules=rules
                )
                faults += [f"{name}, {scheme}: {fault}" for fault in found]
                if any(fault.startswith("color-contrast") for fault in found):
                    low[scheme].add(name)
            errors = page_checks.console(record(page), used=used_errors)
            errors += page_checks.requests(record(page))
            faults += [f"{name}: {error}" for error in errors]
    for scheme, names in low.items():
        print(f"{scheme}: {len(names)} of {len(PAGES)} pages: low contrast")
    assert not faults, "\n".join(faults)
    assert not page_checks.stale(KNOWN_FAULTS, used)
    assert not page_checks.stale(page_checks.KNOWN_ERRORS, used_errors)
