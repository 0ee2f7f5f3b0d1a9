"""A browser and the built site, for tests that look at pages.

``browser`` lives as long as a module, not a session: while it runs, its
event loop occupies the thread, and tests of notebooks need one of their own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import lint
import pytest
from browser import Missing, launched, opened, served, settle
from page_checks import absent

# Another place to look at: BOOK_SITE.
SITE = Path(os.environ.get("BOOK_SITE") or lint.ROOT / "_build" / "html")


@pytest.fixture(scope="session")
def built() -> Path:
    """Return the folder of the built site."""
    if not (SITE / "book" / "intro.html").exists():
        absent("_build/html does not exist: run `make book` first")
    return SITE


@pytest.fixture(scope="session")
def site(built: Path) -> Iterator[str]:
    """Yield the address of the built site, with a slash at its end."""
    with served(built) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Yield a running Chromium (Playwright's ``Browser``)."""
    with contextlib.ExitStack() as stack:
        try:
            chromium = stack.enter_context(launched())
        except Missing as missing:
            absent(str(missing))
        yield chromium


@pytest.fixture
def open_page(browser: Any, site: str) -> Iterator[Callable[..., Any]]:
    """Yield ``open_page("book/foundations/softmax", width=390, ...)``.

    Keywords are those of ``browser.opened``. Formulas are typeset on return.
    """
    with contextlib.ExitStack() as stack:

        def open_page(name: str, **options: Any) -> Any:
            page = stack.enter_context(opened(browser, home=site, **options))
            page.goto(f"{site}{name}.html")
            settle(page)
            return page

        yield open_page


DOCUMENT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>html {{background: Canvas; color: CanvasText}}</style></head>
<body><main><h1>A page</h1>{}</main></body></html>"""
FRAME = (
    '<iframe title="Output" sandbox="allow-scripts" srcdoc="{}" '
    'style="width: 100%; height: 50rem; border: 0"></iframe>'
)


def document(html: str, sandbox: bool) -> str:
    """Return a whole document; with ``sandbox`` in a frame, as in Colab."""
    whole = html if "<html" in html else DOCUMENT.format(html)
    return DOCUMENT.format(FRAME.format(escape(whole))) if sandbox else whole


@pytest.fixture
def open_html(browser: Any) -> Iterator[Callable[..., Any]]:
    """Yield ``open_html(html, width=1280, scheme="light", ...)``.

    ``html`` is a document or a piece of one. Keywords are those of
    ``browser.opened``, and ``sandbox``: the document then is
    ``page.frames[1]``, the page around it ``page``.
    """
    with contextlib.ExitStack() as stack:
        visit = partial(opened, browser)

        def open_html(
            html: str, *, sandbox: bool = False, **options: Any
        ) -> Any:
            page = stack.enter_context(visit(**options))
            page.set_content(document(html, sandbox), wait_until="load")
            return page

        yield open_html
