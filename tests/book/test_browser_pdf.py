"""The printed book: complete, typeset, no page empty."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import browser as tools
import lint
import nbformat
import pytest
from page_checks import absent

if TYPE_CHECKING:
    from pypdf import PdfReader

pytestmark = [pytest.mark.slow, pytest.mark.pages]
TOC = (lint.ROOT / "_toc.yml").read_text(encoding="utf-8")
NAMES = re.findall(r"(?:file|root): (\S+)", TOC)
TEXT = re.compile(r"\$\$|\\(frac|sum|mathbf|text|begin)\b|\\\(")


def title(name: str) -> str:
    """Return the heading of a page of the book."""
    path = lint.ROOT / f"{name}.ipynb"
    if path.exists():
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    else:
        text = path.with_suffix(".md").read_text(encoding="utf-8")
    return re.search(r"^# (.+)$", text, re.MULTILINE)[1].strip()


def printed(folder: Path) -> PdfReader:
    """Print the book into ``folder``."""
    for package in ("playwright", "pypdf", "pypdfium2"):
        if importlib.util.find_spec(package) is None:
            absent(f"no {package}: {tools.INSTALL}; pip install {package}")
    from pypdf import PdfReader

    tool = lint.ROOT / "book" / "_tools" / "pdf.py"
    result = subprocess.run(
        [sys.executable, str(tool), "--to", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "no Chromium" in result.stderr:
        absent(result.stderr.strip())
    assert result.returncode == 0, result.stdout + result.stderr
    return PdfReader(folder / "attnlib-book.pdf")


def words(folder: Path) -> list[str]:
    """Return the text of each page with ligatures taken apart."""
    import pypdfium2

    with pypdfium2.PdfDocument(folder / "attnlib-book.pdf") as book:
        texts = [page.get_textpage().get_text_range() for page in book]
    return [
        " ".join(unicodedata.normalize("NFKC", text).split()) for text in texts
    ]


def top(book: PdfReader) -> list[Any]:
    """Return the outline's entries of the first level."""
    return [entry for entry in book.outline if not isinstance(entry, list)]


def drawings(page: Any) -> int:
    """Count strokes and fills of paths: figures, rules of tables, boxes."""
    if (content := page.get_contents()) is None:
        return 0
    return len(re.findall(rb"(?m)(?:^|\s)[fSB]\*?\s*$", content.get_data()))


def images(book: PdfReader) -> int:
    """Count pixel images, also inside drawn figures."""
    found = set()

    def look(resources: Any) -> None:
        objects = (resources or {}).get("/XObject", {})
        for reference in objects.values():
            thing = reference.get_object()
            if thing.get("/Subtype") == "/Image":
                found.add(reference.idnum)
            elif "/Resources" in thing:
                look(thing["/Resources"].get_object())

    for page in book.pages:
        look(page.get("/Resources"))
    return len(found)


def it_has_the_size_of_a_book(book: PdfReader, texts: list[str]) -> None:
    assert len(book.pages) > 40
    wide, high = (float(side) for side in book.pages[0].mediabox[2:])
    assert (round(wide / 72 * 25.4), round(high / 72 * 25.4)) == (210, 297)
    assert book.metadata.title


def every_page_of_the_book_is_in_the_outline(
    book: PdfReader, texts: list[str]
) -> None:
    entries = [re.sub(r"^\d+\. ", "", entry.title) for entry in top(book)]
    plain = [re.sub("[“”]", '"', entry) for entry in entries]
    assert plain == [re.sub(r"[*`]", "", title(name)) for name in NAMES]
    pages = [book.get_destination_page_number(entry) for entry in top(book)]
    assert pages == sorted(set(pages)), "each starts on a page of its own"
    for entry, page in zip(entries, pages, strict=True):
        assert re.sub(r"\W", "", entry) in re.sub(r"\W", "", texts[page])


def contents_give_the_pages(book: PdfReader, texts: list[str]) -> None:
    numbers = [book.get_destination_page_number(e) for e in top(book)]
    contents = " ".join(texts[1 : min(numbers)])  # up to the first chapter
    for entry, number in zip(top(book), numbers, strict=True):
        assert f"{entry.title} {number + 1}" in contents
        assert texts[number].endswith(f" {number + 1}"), "footers agree"


def formulas_are_typeset(book: PdfReader, texts: list[str]) -> None:
    prose = [
        f"page {number}: {match[0]}"
        for number, text in enumerate(texts, 1)
        if (match := TEXT.search(text))
    ]
    assert not prose


def no_page_is_empty(book: PdfReader, texts: list[str]) -> None:
    footer = len(book.metadata.title) + 6
    empty = [
        number
        for number, (page, text) in enumerate(
            zip(book.pages, texts, strict=True), 1
        )
        if len(text) < footer + 20 and drawings(page) < 20
    ]
    assert not [number for number in empty if number > 1]


def figures_are_there(book: PdfReader, texts: list[str]) -> None:
    svgs = pictures = 0
    for name in NAMES:
        path = Path(lint.ROOT / f"{name}.ipynb")
        if not path.exists():
            continue
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                svgs += len(re.findall(r"!\[[^\]]*\]\(", cell.source))
            for output in cell.get("outputs", []):
                data = str(output.get("data", {}).get("image/svg+xml", ""))
                svgs += bool(data)
                pictures += len(set(re.findall(r"<image", data))) > 0
    assert svgs > 10
    assert images(book) >= pictures > 0
    drawn = sum(drawings(page) > 40 for page in book.pages)
    assert drawn >= svgs // 2, "figures share pages, two at most on average"


def addresses(page: Any) -> list[str]:
    """Return what the links of a page lead to outside of the document."""
    links = (link.get_object() for link in page.get("/Annots") or ())
    return [
        link["/A"]["/URI"] for link in links if "/URI" in link.get("/A", {})
    ]


def no_link_leads_to_the_printing_machine(
    book: PdfReader, texts: list[str]
) -> None:
    for number, page in enumerate(book.pages, 1):
        for address in addresses(page):
            assert "//127.0.0.1" not in address, f"page {number}: {address}"


# One test, so that two workers do not print the book twice.
def test_the_book_prints(tmp_path: Path) -> None:
    book = printed(tmp_path)
    texts = words(tmp_path)
    for check in (
        it_has_the_size_of_a_book,
        every_page_of_the_book_is_in_the_outline,
        contents_give_the_pages,
        formulas_are_typeset,
        no_page_is_empty,
        figures_are_there,
        no_link_leads_to_the_printing_machine,
    ):
        check(book, texts)


def blank_page() -> Any:
    from pypdf import PdfWriter

    return PdfWriter().add_blank_page(595, 842)


def test_planted_faults_are_found() -> None:
    pytest.importorskip("pypdf")
    from pypdf import PdfWriter
    from pypdf.annotations import Link
    from pypdf.generic import RectangleObject

    page = blank_page()
    book: Any = SimpleNamespace(
        pages=[page] * 3, metadata=SimpleNamespace(title="A book")
    )
    words = "A page with enough words to be none of the empty ones."
    formulas_are_typeset(book, [words, "In code: a \\n and b$"])
    no_page_is_empty(book, [words] * 3)
    for raw in (r"so \frac{1}{2}", "so $$x$$", r"so \(x\)"):
        with pytest.raises(AssertionError, match="page 2"):
            formulas_are_typeset(book, [words, raw])
    with pytest.raises(AssertionError, match="3"):
        no_page_is_empty(book, [words, words, "A book 3"])
    with pytest.raises(AssertionError):
        it_has_the_size_of_a_book(book, [])
    no_link_leads_to_the_printing_machine(book, [])
    writer = PdfWriter()
    writer.add_blank_page(595, 842)
    where = RectangleObject((0, 0, 9, 9))
    for url in ("https://example.org/", "http://127.0.0.1:80/a.html"):
        writer.add_annotation(0, Link(rect=where, url=url))
    with pytest.raises(AssertionError, match="page 1: http://127"):
        no_link_leads_to_the_printing_machine(writer, [])
