"""Every built page on a wide screen, light first, then dark.

There axe-core says, too, whether everybody can read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import page_checks
import pytest
from browser import opened
from page_checks import Known
from visits import PAGES, inspect, short, turn, visit

pytestmark = pytest.mark.pages

# What may change when the page turns light again.
COLOURS = ("color-contrast", "link-in-text-block")
KNOWN_FAULTS = (
    Known(
        "region",
        ".bd-sidebar-primary .sidebar-primary-item:has(> .navbar-brand)",
        "the theme's layout puts the book's title above the navigation, "
        "outside its landmark; the same link is the navigation's first entry",
    ),
)


@pytest.fixture(scope="module")
def window(browser: Any, site: str) -> Iterator[Any]:
    with opened(browser, home=site) as page:
        yield page


@pytest.mark.parametrize("name", PAGES, ids=short)
def test_page_is_in_order(name: str, window: Any, site: str) -> None:
    faults = inspect(window, site, name, ("light", "dark"))
    page_checks.prepare(window)
    for scheme, rules in (("dark", ()), ("light", COLOURS)):
        turn(window, scheme)
        found = page_checks.accessibility(window, KNOWN_FAULTS, rules=rules)
        faults += [f"{scheme}: {fault}" for fault in found]
    assert not faults, "\n".join(faults)


def test_every_known_fault_is_still_there(window: Any, site: str) -> None:
    visit(window, site, "book/foundations/softmax")
    page_checks.prepare(window)
    used: set[Known] = set()
    page_checks.accessibility(window, KNOWN_FAULTS, used)
    assert used == set(KNOWN_FAULTS)
