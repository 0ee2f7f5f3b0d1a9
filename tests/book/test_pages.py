"""The built pages: no other host, alt texts, links, our buttons."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import lint
import pytest
from bookext import repository

SITE = lint.ROOT / "_build" / "html"
PAGES = sorted(
    p
    for p in SITE.rglob("*.html")
    if "_static" not in p.relative_to(SITE).parts
)
pytestmark = pytest.mark.skipif(
    not PAGES, reason="_build/html does not exist: run `make book` first"
)


class Document(HTMLParser):
    """Collects ids, and all elements with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.ids: set[str] = set()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids.update(
            values[name] for name in ("id", "name") if values.get(name)
        )
        self.elements.append((tag, values))


@pytest.fixture(scope="module")
def documents() -> dict[Path, Document]:
    return {path: Document(path) for path in PAGES}


def test_all_chapters_are_there(documents: dict[Path, Document]) -> None:
    toc = (lint.ROOT / "_toc.yml").read_text()
    wanted = re.findall(r"(?:file|root): (\S+)", toc)
    assert {SITE / f"{name}.html" for name in wanted} <= set(documents)
    assert SITE / "index.html" in documents


def test_nothing_is_loaded_from_another_host(
    documents: dict[Path, Document],
) -> None:
    loads = {
        "script": "src",
        "img": "src",
        "iframe": "src",
        "source": "src",
        "link": "href",
    }
    found = [
        f"{path.name}: {tag} {address}"
        for path, document in documents.items()
        for tag, values in document.elements
        if urlsplit(address := values.get(loads.get(tag, ""), "")).netloc
        and values.get("rel") != "canonical"
    ]
    for sheet in SITE.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8", errors="replace")
        found += [
            f"{sheet.name}: {url}"
            for url in re.findall(r"url\(['\"]?(https?:[^)]+)", text)
        ]
    assert not found


def test_every_picture_has_a_description(
    documents: dict[Path, Document],
) -> None:
    found = []
    for path, document in documents.items():
        for tag, values in document.elements:
            alt = values.get("alt", "").strip()
            if tag == "img" and (
                " " not in alt or re.search(r"\.(svg|png|jpe?g)$", alt)
            ):
                found.append(f"{path.name}: {values.get('src')} alt={alt!r}")
    assert not found


def test_internal_links_lead_somewhere(
    documents: dict[Path, Document],
) -> None:
    found = []
    for path, document in documents.items():
        for tag, values in document.elements:
            for name in ("href", "src"):
                address = urlsplit(values.get(name, ""))
                if (
                    address.scheme
                    or address.netloc
                    or not (address.path or address.fragment)
                ):
                    continue
                target = (
                    path
                    if not address.path
                    else (path.parent / unquote(address.path))
                )
                target = target.resolve()
                if not target.exists():
                    found.append(f"{path.name}: {tag} {values[name]}")
                elif target in documents and address.fragment:
                    if unquote(address.fragment) not in documents[target].ids:
                        found.append(
                            f"{path.name}: no such anchor {values[name]}"
                        )
    assert not found


def test_buttons_point_at_this_repository_or_are_absent(
    documents: dict[Path, Document],
) -> None:
    ours = repository(lint.ROOT)
    slug = urlsplit(ours).path.strip("/") if ours else None
    found = []
    for path, document in documents.items():
        for _, values in document.elements:
            link, kind = (
                values.get("href", ""),
                values.get("class", "").split(),
            )
            if (
                not {"btn", "dropdown-item"} & set(kind)
                or not urlsplit(link).netloc
            ):
                continue
            if slug is None or f"/{slug}" not in link:
                found.append(f"{path.name}: {link}")
    assert not found


def test_notebooks_link_to_colab_where_there_is_a_repository(
    documents: dict[Path, Document],
) -> None:
    if repository(lint.ROOT) is None or "github.com" not in str(
        repository(lint.ROOT)
    ):
        pytest.skip("no GitHub repository: no Colab buttons")
    for chapter in (lint.ROOT / "book").glob("*/*.ipynb"):
        place = chapter.relative_to(lint.ROOT).as_posix()
        html = SITE / Path(place).with_suffix(".html")
        links = [
            values.get("href", "") for _, values in documents[html].elements
        ]
        assert any(
            "colab.research" in link and link.endswith(place) for link in links
        ), place
