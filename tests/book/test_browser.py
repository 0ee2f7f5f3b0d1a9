"""Every built page in a browser: wide and narrow, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lint
import page_checks
import pytest
from browser import opened, record
from visits import PAGES, SCHEMES, picture, short, turn, visit

pytestmark = pytest.mark.pages

SIZES = {1280: 900, 390: 844}
PICTURES = lint.ROOT / "_build" / "screenshots"


@pytest.fixture(scope="module", params=SIZES, ids=str)
def window(
    request: pytest.FixtureRequest, browser: Any, site: str
) -> Iterator[Any]:
    """One page of a browser for all pages of the book."""
    width = request.param
    size = {"width": width, "height": SIZES[width]}
    with opened(browser, home=site, **size) as page:
        yield page


@pytest.mark.parametrize("name", PAGES, ids=short)
def test_page_is_in_order(name: str, window: Any, site: str) -> None:
    visit(window, site, name)
    window.add_style_tag(content=page_checks.STILL)
    width = window.viewport_size["width"]
    for scheme in SCHEMES:
        turn(window, scheme)
        place = PICTURES / f"{short(name)}-{width}-{scheme}.png"
        picture(window, place)
    faults = page_checks.overflow(window)
    window.evaluate(page_checks.UNFOLD)
    faults += page_checks.overflow(window)
    faults += page_checks.mathematics(window)
    faults += page_checks.requests(record(window))
    faults += page_checks.console(record(window))
    assert not faults, "\n".join(faults)
