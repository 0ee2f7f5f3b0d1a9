"""Every built page in a browser: wide and narrow, light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import lint
import page_checks
import pytest
from browser import opened, record, settle
from page_checks import Known

pytestmark = pytest.mark.pages

NAMES = re.findall(
    r"(?:file|root): (\S+)", (lint.ROOT / "_toc.yml").read_text()
)
SIZES = {1280: 900, 390: 844}
SCHEMES = ("light", "dark")
THEME = "scheme => document.documentElement.dataset.theme === scheme"
PICTURES = lint.ROOT / "_build" / "screenshots"

# Part of an error's text -> why it stays.
KNOWN_ERRORS: dict[str, str] = {}

KNOWN_FAULTS = (
    Known(
        "region",
        ".bd-sidebar-primary .sidebar-primary-item:has(> .navbar-brand)",
        "the theme's layout puts the book's title above the navigation, "
        "outside its landmark; the same link is the navigation's first entry",
    ),
)


def short(name: str) -> str:
    return name.removeprefix("book/").replace("/", "-")


@pytest.fixture(scope="module", params=SIZES, ids=str)
def window(
    request: pytest.FixtureRequest, browser: Any, site: str
) -> Iterator[Any]:
    """One page of a browser for all pages of the book."""
    width = request.param
    size = {"width": width, "height": SIZES[width]}
    with opened(browser, home=site, **size) as page:
        yield page


@pytest.mark.parametrize("name", NAMES, ids=short)
def test_page_is_in_order(name: str, window: Any, site: str) -> None:
    record(window).clear()
    window.emulate_media(color_scheme="light")
    window.goto(f"{site}{name}.html")
    settle(window)
    window.add_style_tag(content=page_checks.STILL)
    PICTURES.mkdir(exist_ok=True)
    width = window.viewport_size["width"]
    for scheme in SCHEMES:
        window.emulate_media(color_scheme=scheme)
        window.wait_for_function(THEME, arg=scheme)
        place = PICTURES / f"{short(name)}-{width}-{scheme}.png"
        window.screenshot(path=place, full_page=True)
    faults = page_checks.overflow(window)
    window.evaluate(page_checks.UNFOLD)
    faults += page_checks.overflow(window)
    faults += page_checks.mathematics(window)
    faults += page_checks.requests(record(window))
    faults += page_checks.console(record(window), KNOWN_ERRORS)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_everybody_can_read_every_page(
    scheme: str, browser: Any, site: str
) -> None:
    faults: list[str] = []
    low = set()
    used: set[Known] = set()
    used_errors: set[str] = set()
    with opened(browser, home=site, scheme=scheme) as page:
        for name in NAMES:
            record(page).clear()
            page.goto(f"{site}{name}.html")
            settle(page)
            errors = page_checks.console(
                record(page), KNOWN_ERRORS, used_errors
            )
            faults += [f"{name}: {error}" for error in errors]
            page_checks.prepare(page)
            found = page_checks.accessibility(page, KNOWN_FAULTS, used)
            faults += [f"{name}: {fault}" for fault in found]
            if any(fault.startswith("color-contrast") for fault in found):
                low.add(name)
    print(f"{scheme}: {len(low)} of {len(NAMES)} pages with low contrast")
    assert not faults, "\n".join(faults)
    assert not page_checks.stale(KNOWN_FAULTS, used)
    assert not page_checks.stale(KNOWN_ERRORS, used_errors)
