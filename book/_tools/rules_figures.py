"""Rules about pictures, the explorer and the live cell."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from page import ROOT, Page, output_text

IMAGE = re.compile(
    r"!\[((?:[^\[\]]|\[[^\]]*\])*)\](?:\(<?([^)\s>]+)[^)]*\)|(\[[^\]]*\]|))"
)
TITLE = re.compile(r"<title\b[^>]*>([^<]*)</title>")
EXPLORER = re.compile(r"<figure\b[^>]*\bclass=[\"'][^\"']*\battn-explorer\b")
LOOK = re.compile(r"<figcaption\b[^>]*>(.*?)</figcaption>", re.DOTALL)
# What attnlib.plots.explore says where nobody says what the picture shows.
UNSAID = "The picture."
MAX_EXPLORER = 120_000
LIVE_TAGS = ["nbval-ignore-output", "remove-cell"]


class Pictures(HTMLParser):
    """Collects the pictures of an HTML text that nobody describes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.nameless: list[str] = []
        self._open: list[str] = []  # <svg> that wait for their <title>
        self._title: str | None = None
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
        if tag == "title":
            self._title = ""
        if tag not in ("img", "svg", "canvas") or unseen:
            return
        name = values.get("alt" if tag == "img" else "aria-label", "")
        if not describes(name):
            (self._open if tag == "svg" else self.nameless).append(tag)

    def handle_data(self, data: str) -> None:
        if self._title is not None:
            self._title += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "title" and self._open and describes(self._title or ""):
            self._open.pop()
        if tag == "title":
            self._title = None


def describes(alt: str) -> bool:
    """Tell a description from a file name or a slug."""
    alt = alt.strip()
    return (
        " " in alt
        and alt != UNSAID
        and not re.search(r"\.(?:png|svg|jpe?g)$", alt)
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
        for alt, address, name in IMAGE.findall(text):
            if not describes(alt):
                yield f"{where}: picture {address or name} without alt text"
        for tag in Pictures(text).nameless:
            yield f"{where}: <{tag}> without alt text or aria-label"
    for where, text in page.html():
        for tag in Pictures(text).nameless:
            yield f"{where}: <{tag}> without alt text or aria-label"


def explorers(page: Page) -> Iterator[str]:
    """A chapter has one explorer, not too heavy; it says what to look for."""
    found = 0
    for where, text in page.html():
        count = len(EXPLORER.findall(text))
        found += count
        if not count:
            continue
        if (got := len(text.encode())) > MAX_EXPLORER:
            yield f"{where}: explorer of {got:,} bytes, most {MAX_EXPLORER:,}"
        if count > 1:
            yield f"{where}: {count} explorers in one output"
        looks = [re.sub(r"<[^>]*>", "", look) for look in LOOK.findall(text)]
        if sum(map(describes, looks)) < count:
            yield f"{where}: an explorer that does not say what to look for"
    if page.chapter and found != 1:
        yield f"{found} explorers, a chapter has one"


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


def nameless(file: Path) -> bool:
    """Say whether a drawing has no title that says what it shows."""
    found = TITLE.search(file.read_text(encoding="utf-8"))
    return found is None or not describes(html.unescape(found[1]))


def drawings_named(page: Page) -> Iterator[str]:
    """A drawing that a page shows has a title inside, too."""
    for where, text in page.prose():
        for _, address, _ in IMAGE.findall(text):
            file = page.path.parent / address
            if file.suffix == ".svg" and file.is_file() and nameless(file):
                yield f"{where}: {address} has an empty <title>"


def all_named() -> Iterator[str]:
    """Yield the drawings of the book that have no title."""
    for file in sorted((ROOT / "book" / "figures").glob("*.svg")):
        if nameless(file):
            yield f"{file.name}: the drawing has no <title>"


RULES = (alt_text, drawings_named, explorers, live_cell)
