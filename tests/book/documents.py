"""The built pages as data: elements, attributes, scripts and styles."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Document(HTMLParser):
    """Reads a page.

    Attributes:
        name: what a fault calls the page.
        ids: what a link can lead to.
        elements: (tag, attributes); of two attributes with one name the
            first, as in a browser.
        scripts: the texts of inline scripts.
        styles: the texts of inline style sheets.
    """

    def __init__(self, text: str, name: str = "page") -> None:
        super().__init__()
        self.name = name
        self.ids: set[str] = set()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._open: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        values = {name: value or "" for name, value in reversed(attrs)}
        self.ids.update(
            values[name] for name in ("id", "name") if values.get(name)
        )
        self.elements.append((tag, values))
        texts = {"script": self.scripts, "style": self.styles}
        self._open = texts.get(tag)

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = None


def read(path: Path) -> Document:
    """Return the document in a file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return Document(text, path.name)


def pages(site: Path) -> dict[Path, Document]:
    """Return the pages of a site, without the theme's templates."""
    return {
        path: read(path)
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.relative_to(site).parts
    }


def buttons(document: Document) -> list[str]:
    """Return where the theme's buttons lead outside of the book."""
    return [
        link
        for _, values in document.elements
        if {"btn", "dropdown-item"} & set(values.get("class", "").split())
        and urlsplit(link := values.get("href", "")).netloc
    ]


def strangers(
    documents: dict[Path, Document], repository: str | None
) -> list[str]:
    """Return buttons that lead elsewhere than to a repository."""
    slug = urlsplit(repository).path.strip("/") if repository else None
    return [
        f"{document.name}: {link}"
        for document in documents.values()
        for link in buttons(document)
        if slug is None or f"/{slug}" not in link
    ]


def targets(document: Document, slug: str) -> list[str]:
    """Return the files of a repository that a page's links lead to."""
    place = re.compile(
        rf"/{re.escape(slug)}/(?:-/)?(?:blob|edit|raw|tree)/[^/]+/([^?#]+)"
    )
    return [
        unquote(match[1])
        for _, values in document.elements
        if (match := place.search(values.get("href", "")))
    ]
