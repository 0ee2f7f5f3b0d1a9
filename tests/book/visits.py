"""Every page of the site: visit it, turn it dark, take pictures, inspect."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lint
import page_checks
from browser import record, settle

PICTURES = lint.ROOT / "_build" / "screenshots"
SEARCH = "search.html?q=softmax"
PAGES = {
    name: f"{name}.html"
    for name in re.findall(
        r"(?:file|root): (\S+)", (lint.ROOT / "_toc.yml").read_text()
    )
}
# Written by Sphinx; the search shows what it finds.
PAGES |= {"genindex": "genindex.html", "search": SEARCH}


def short(name: str) -> str:
    """Return a page's name for a test and a file."""
    return name.removeprefix("book/").replace("/", "-")


def visit(page: Any, home: str, name: str, scheme: str = "light") -> None:
    """Open one of ``PAGES`` anew; it is typeset, or has searched, after."""
    record(page).clear()
    page.emulate_media(color_scheme=scheme)
    page.goto(home + PAGES[name])
    settle(page)
    if PAGES[name] == SEARCH:
        page.wait_for_selector("#search-results li")
        page.wait_for_load_state("networkidle")


THEME = "scheme => document.documentElement.dataset.theme === scheme"


def turn(page: Any, scheme: str) -> None:
    """Let the reader's system change between light and dark."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(THEME, arg=scheme)


SIZE = """() => [document.documentElement.scrollWidth,
  document.documentElement.scrollHeight]"""


def picture(page: Any, place: Path) -> None:
    """Store a picture of a whole page, in half of Playwright's time."""
    place.parent.mkdir(parents=True, exist_ok=True)
    width, height = page.evaluate(SIZE)
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    session = page.context.new_cdp_session(page)
    answer = session.send(
        "Page.captureScreenshot",
        {"clip": clip, "captureBeyondViewport": True, "format": "png"}
        | {"optimizeForSpeed": True},
    )
    session.detach()
    place.write_bytes(base64.b64decode(answer["data"]))


def inspect(
    page: Any, home: str, name: str, schemes: Sequence[str]
) -> list[str]:
    """Visit one of ``PAGES``, take a picture in each colour; list faults.

    What is folded is open after.
    """
    visit(page, home, name, schemes[0])
    page.add_style_tag(content=page_checks.STILL)
    width = page.viewport_size["width"]
    for scheme in schemes:
        turn(page, scheme)
        picture(page, PICTURES / f"{short(name)}-{width}-{scheme}.png")
    faults = page_checks.overflow(page)
    page.evaluate(page_checks.UNFOLD)
    faults += page_checks.overflow(page)
    faults += page_checks.mathematics(page)
    faults += page_checks.requests(record(page))
    return faults + page_checks.console(record(page))
