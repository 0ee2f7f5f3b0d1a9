"""The book's vocabulary: one name a thing, in English and Chinese.

    terms.py            print what the chapters and pages break

The data is ``book/back/glossary.yml``; the glossary page is made from it by
``book/_ext/glossary_page.py``. A chapter introduces a term once, in bold with
its Chinese: ``**query (查询)**``. What stands in titles, headings, tables,
links, code, formulas, alt texts and the paragraph "You need" is no use of it.
Other names are refused, except in code, in quotations, in links to other sites
and in the columns of a table that translate (headed "paper", "elsewhere",
"overview", "official"). What notebooks say outside of Markdown is looked at by
``rules_terms.py``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import nbformat
from nbformat import NotebookNode

sys.path.insert(0, str(Path(__file__).parent))
from numerals import CODE, blank
from page import CHAPTER_FOLDERS, ROOT
from rules_chinese import wrong_names
from vocabulary import (
    ASIDE,
    HAN,
    Glossary,
    forbidden,
    glossary,
    introductions,
    singular,
    uses,
)


def data_complaints(data: Glossary) -> Iterator[str]:
    """Entries are in order, single, complete; no entry forbids another."""
    names = [t.term.lower() for t in data.terms]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"{name}: two entries"
    for before, after in pairwise(names):
        if after < before:
            yield f"{after}: not in alphabetical order"
    for t in data.terms:
        if not re.search(f"[{HAN}]", t.chinese):
            yield f"{t.term}: no Chinese"
        if not re.search(r"\w.*\.$", t.definition):
            yield f"{t.term}: no definition that ends in a full stop"
        for _, text in forbidden(t.definition, data):
            yield f"{t.term}: its definition says {text}"


def cells(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Yield (number, source) for each Markdown cell."""
    for n, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            yield n, cell.source


def forbidden_names(notebook: NotebookNode, data: Glossary) -> Iterator[str]:
    """No other name for a term, no American spelling."""
    for n, source in cells(notebook):
        for _, text in forbidden(source, data):
            yield f"cell {n}: {text}"


def chinese_names(notebook: NotebookNode, data: Glossary) -> Iterator[str]:
    """A Chinese name stands behind its term and is the glossary's."""
    for n, source in cells(notebook):
        for _, text in wrong_names(source, data):
            yield f"cell {n}: {text}"


def introduced(
    notebook: NotebookNode,
) -> dict[str, list[tuple[int, int, str]]]:
    """Return term -> (cell, place, Chinese) of each introduction."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    for n, source in cells(notebook):
        for place, term, chinese in introductions(source):
            found.setdefault(term, []).append((n, place, chinese))
    return found


def first_uses(
    notebook: NotebookNode, data: Glossary
) -> dict[str, tuple[int, int]]:
    """Return term -> (cell, place) of its first use."""
    found: dict[str, tuple[int, int]] = {}
    for n, source in cells(notebook):
        for place, term in uses(source, data):
            found.setdefault(singular(term.term), (n, place))
    return found


def introductions_agree(
    notebook: NotebookNode, data: Glossary
) -> Iterator[str]:
    """What a chapter introduces is in the glossary, once, with its Chinese."""
    known = {singular(t.term): t for t in data.terms}
    for n, source in cells(notebook):
        for match in ASIDE.finditer(blank(source, CODE)):
            yield f"cell {n}: write **{match[1]} ({match[2]})**"
    for term, places in introduced(notebook).items():
        for n, _, chinese in places:
            if term not in known:
                yield f"cell {n}: {term} ({chinese}) is not in the glossary"
            elif chinese != known[term].chinese:
                yield (
                    f"cell {n}: {term} is {known[term].chinese} in the "
                    f"glossary, not {chinese}"
                )
        for n, _, _ in places[1:]:
            yield f"cell {n}: {term} was introduced in cell {places[0][0]}"


def not_before(notebook: NotebookNode, data: Glossary) -> Iterator[str]:
    """A chapter that introduces a term does not use it earlier."""
    first = first_uses(notebook, data)
    here = introduced(notebook)
    for t in data.terms:
        places = here.get(singular(t.term))
        if t.everyday or not places:
            continue
        at = places[0][:2]
        if first.get(singular(t.term), at) < at:
            yield (
                f"cell {first[singular(t.term)][0]}: uses {t.term!r} before "
                f"cell {at[0]} introduces it"
            )


def book_complaints(
    chapters: list[tuple[str, NotebookNode]], data: Glossary
) -> Iterator[str]:
    """Each term is introduced, and where the book first uses it.

    Args:
        chapters: (file name, notebook), in reading order.
        data: the glossary.
    """
    first = [first_uses(notebook, data) for _, notebook in chapters]
    here = [introduced(notebook) for _, notebook in chapters]
    for t in data.terms:
        name = singular(t.term)
        if not any(name in there for there in here):
            yield f"glossary: {t.term}: no chapter introduces it"
        if t.everyday:
            continue
        for (file, _), used, there in zip(chapters, first, here, strict=True):
            if name in used or name in there:
                if name not in there:
                    yield (
                        f"{file}: cell {used[name][0]}: first use of "
                        f"{t.term!r} in the book, not introduced"
                    )
                break


def page_complaints(path: Path, data: Glossary) -> Iterator[str]:
    """Yield the refused names and the wrong Chinese of a Markdown page."""
    text = path.read_text(encoding="utf-8")
    found = [*forbidden(text, data), *wrong_names(text, data, loose=True)]
    for place, complaint in sorted(found):
        yield f"{path.name}: line {text.count(chr(10), 0, place) + 1}: " + (
            complaint
        )


def chapters() -> list[Path]:
    """Return the chapters that exist, in reading order."""
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    files = [ROOT / f"{f}.ipynb" for f in re.findall(r"file: (\S+)", toc)]
    return [f for f in files if f.parent.name in CHAPTER_FOLDERS]


def pages() -> list[Path]:
    """Return the Markdown pages that readers see."""
    licence = ROOT / "LICENSE-TEXT.md"
    found = {*ROOT.glob("*.md"), *(ROOT / "book").rglob("*.md")} - {licence}
    return sorted(found)


def whole_book(data: Glossary) -> Iterator[str]:
    """Yield what the data, the chapters together and the pages break."""
    for text in data_complaints(data):
        yield f"glossary: {text}"
    yield from book_complaints(
        [(f.name, nbformat.read(f, as_version=4)) for f in chapters()], data
    )
    for path in pages():
        yield from page_complaints(path, data)


def main() -> int:
    """Print all findings, chapter by chapter."""
    data, found = glossary(), []
    read = [(f.name, nbformat.read(f, as_version=4)) for f in chapters()]
    rules = (introductions_agree, not_before, forbidden_names, chinese_names)
    for name, notebook in read:
        for rule in rules:
            found += [f"{name}: {text}" for text in rule(notebook, data)]
    found += sorted(whole_book(data))
    print("\n".join([*found, f"{len(found)} findings"]))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
