"""The built pages: all there, alt texts, links, our buttons."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import lint
import pytest
from bookext import repository
from documents import Document, pages, strangers

pytestmark = pytest.mark.pages


@pytest.fixture(scope="module")
def documents(built: Path) -> dict[Path, Document]:
    return pages(built)


def test_all_chapters_are_there(
    documents: dict[Path, Document], built: Path
) -> None:
    toc = (lint.ROOT / "_toc.yml").read_text()
    wanted = re.findall(r"(?:file|root): (\S+)", toc)
    assert {built / f"{name}.html" for name in wanted} <= set(documents)
    assert built / "index.html" in documents


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
    assert strangers(documents, repository(lint.ROOT)) == []
