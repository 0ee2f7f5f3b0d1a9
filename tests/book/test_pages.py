"""The built pages: no other host, alt texts, links, our buttons."""

from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import lint
import pytest
from bookext import repository

pytestmark = pytest.mark.pages


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
def documents(built: Path) -> dict[Path, Document]:
    return {
        path: Document(path)
        for path in sorted(built.rglob("*.html"))
        if "_static" not in path.relative_to(built).parts
    }


def test_all_chapters_are_there(
    documents: dict[Path, Document], built: Path
) -> None:
    toc = (lint.ROOT / "_toc.yml").read_text()
    wanted = re.findall(r"(?:file|root): (\S+)", toc)
    assert {built / f"{name}.html" for name in wanted} <= set(documents)
    assert built / "index.html" in documents


LOADS = {"link": "href"} | dict.fromkeys(
    ("script", "img", "iframe", "source", "video", "audio", "embed"), "src"
)


def loads(document: Document) -> list[str]:
    """Return what the page loads from another host."""
    return [
        f"{document.path.name}: {tag} {address}"
        for tag, values in document.elements
        if urlsplit(address := values.get(LOADS.get(tag, ""), "")).netloc
        and values.get("rel") != "canonical"
    ]


def sheet_loads(sheet: Path) -> list[str]:
    """Return what a style sheet loads from another host."""
    text = sheet.read_text(encoding="utf-8", errors="replace")
    wanted = r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^)'\"]+)"
    return [f"{sheet.name}: {url}" for url in re.findall(wanted, text)]


def test_nothing_is_loaded_from_another_host(
    documents: dict[Path, Document], built: Path
) -> None:
    found = [fault for page in documents.values() for fault in loads(page)]
    for sheet in built.rglob("*.css"):
        found += sheet_loads(sheet)
    print(f"external hosts in {len(documents)} pages: {len(found)}")
    assert not found


def test_a_load_from_another_host_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="stylesheet" href="//cdn.invalid/a.css">'
        '<script src="https://cdn.invalid/b.js"></script>'
        '<img src="c.png"><a href="https://arxiv.org">words</a>'
    )
    assert len(loads(Document(page))) == 2
    sheet = tmp_path / "sheet.css"
    sheet.write_text(
        "@import 'https://cdn.invalid/d.css';"
        "a { background: url(//cdn.invalid/e.png) }"
        "b { background: url(data:image/png;base64,AA//BB) }"
    )
    assert len(sheet_loads(sheet)) == 2


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


def tracked() -> set[str]:
    """Return the files that git knows."""
    listed = subprocess.run(
        ["git", "-C", str(lint.ROOT), "ls-files", "-z"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git repository: nothing is tracked")
    return set(listed.stdout.split("\0"))


def targets(document: Document, slug: str) -> list[str]:
    """Return the files of the repository that a page's links lead to."""
    place = re.compile(
        rf"/{re.escape(slug)}/(?:-/)?(?:blob|edit|raw|tree)/[^/]+/([^?#]+)"
    )
    return [
        unquote(match[1])
        for _, values in document.elements
        if (match := place.search(values.get("href", "")))
    ]


def test_links_into_the_repository_lead_to_tracked_files(
    documents: dict[Path, Document],
) -> None:
    ours = repository(lint.ROOT)
    if ours is None:
        pytest.skip("no repository is known: no such links")
    files, slug = tracked(), urlsplit(ours).path.strip("/")
    found = [
        f"{path.name}: {target}"
        for path, document in documents.items()
        for target in targets(document, slug)
        if target.rstrip("/") not in files
        # Written by Sphinx: nobody's file.
        and path.stem not in ("genindex", "search", "py-modindex")
    ]
    assert not found


def test_targets_of_launch_and_edit_buttons(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<a href="https://github.com/ann/fork/edit/main/book/a.ipynb">e</a>'
        '<a href="https://colab.research.google.com/github/ann/fork/blob/'
        'colab/book/b.ipynb">c</a>'
        '<a href="https://github.com/bob/other/blob/main/c.py">no</a>'
        '<a href="https://github.com/ann/fork">home</a>'
    )
    found = targets(Document(page), "ann/fork")
    assert found == ["book/a.ipynb", "book/b.ipynb"]


def test_notebooks_link_to_colab_where_there_is_a_repository(
    documents: dict[Path, Document], built: Path
) -> None:
    if repository(lint.ROOT) is None or "github.com" not in str(
        repository(lint.ROOT)
    ):
        pytest.skip("no GitHub repository: no Colab buttons")
    for chapter in (lint.ROOT / "book").glob("*/*.ipynb"):
        place = chapter.relative_to(lint.ROOT).as_posix()
        html = built / Path(place).with_suffix(".html")
        links = [
            values.get("href", "") for _, values in documents[html].elements
        ]
        assert any(
            "colab.research" in link and link.endswith(place) for link in links
        ), place
