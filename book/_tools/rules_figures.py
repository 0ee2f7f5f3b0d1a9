"""Rules about pictures, the explorer and the live cell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from page import Page, output_text

IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
EXPLORER = "attn-explorer"
MAX_EXPLORER = 120_000
LIVE_TAGS = ["nbval-ignore-output", "remove-cell"]


class Pictures(HTMLParser):
    """Collects the pictures of an HTML text that nobody describes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.nameless: list[str] = []
        self._open: list[str] = []  # <svg> that wait for their <title>
        self.feed(text)
        self.close()
        self.nameless += self._open

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        values = {name: value or "" for name, value in attrs}
        if "srcdoc" in values:
            self.nameless += Pictures(values["srcdoc"]).nameless
        # The script that shows a hidden element names it as well.
        unseen = "hidden" in values or values.get("aria-hidden") == "true"
        if tag == "title" and self._open:
            self._open.pop()
        if tag not in ("img", "svg", "canvas") or unseen:
            return
        name = values.get("alt" if tag == "img" else "aria-label", "")
        if not describes(name):
            (self._open if tag == "svg" else self.nameless).append(tag)


def describes(alt: str) -> bool:
    """Tell a description from a file name or a slug."""
    return " " in alt.strip() and not re.search(
        r"\.(?:png|svg|jpe?g)$", alt.strip()
    )


def alt_text(page: Page) -> Iterator[str]:
    """Every picture says in words what it shows."""
    for where, cell in page.code():
        pictured = any(
            k.startswith("image/")
            for o in cell.outputs
            for k in o.get("data", {})
        )
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if pictured and not describes(alt):
            yield f"{where}: figure without alt text (mystnb.image.alt)"
    for where, text in page.prose():
        for alt, address in IMAGE.findall(text):
            if not describes(alt):
                yield f"{where}: picture {address} without alt text"
        for tag in Pictures(text).nameless:
            yield f"{where}: <{tag}> without alt text or aria-label"
    for where, text in page.html():
        for tag in Pictures(text).nameless:
            yield f"{where}: <{tag}> without alt text or aria-label"


def explorers(page: Page) -> Iterator[str]:
    """A chapter has one explorer; no explorer is too heavy."""
    found = [(w, t) for w, t in page.html() if EXPLORER in t]
    for where, text in found:
        if (got := len(text.encode())) > MAX_EXPLORER:
            yield f"{where}: explorer of {got:,} bytes, most {MAX_EXPLORER:,}"
    if page.chapter and len(found) != 1:
        yield f"{len(found)} explorers, a chapter has one"


def live_cell(page: Page) -> Iterator[str]:
    """A chapter has one live cell; the page does not show it."""
    found = 0
    for where, cell in page.code():
        marked = cell.source.startswith("# Live: ")
        if not marked and "ipywidgets" not in cell.source:
            continue
        found += 1
        if not marked:
            yield f"{where}: a live cell begins with '# Live: '"
        if sorted(cell.metadata.get("tags", [])) != LIVE_TAGS:
            yield f"{where}: a live cell has the tags {', '.join(LIVE_TAGS)}"
        for needed in ("from ipywidgets import interact\n", "interact("):
            if needed not in cell.source:
                yield f"{where}: no {needed.strip()!r} in the live cell"
        if any(output_text(cell)):
            yield f"{where}: output of a live cell"
    if page.chapter and found != 1:
        yield f"{found} live cells, a chapter has one"


RULES = (alt_text, explorers, live_cell)
