"""Rules about equations, numbers, terms and links in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import links
import terms
from page import Page
from prose_comments import WANTED, complaints, coverage

DISPLAY = re.compile(
    r"(.?)[ \t]*\$\$(.+?)\$\$[ \t]*(?:\(([\w:.-]+)\))?[ \t]*(.?)", re.DOTALL
)
EQUATION = re.compile(r"#\s*(eq-[\w-]+(?:\s*,\s*eq-[\w-]+)*)\s*:")
ALIAS = re.compile(r"^(\w+) = torch\.testing\.assert_close$", re.MULTILINE)
ROLE = re.compile(r"\{[\w:.+-]+\}`|^\s*(?:`{3,}|:{3,})\s*\{", re.MULTILINE)


def labels(page: Page) -> list[str]:
    """Return the labels of the displayed equations, in reading order."""
    return [
        m[3]
        for _, text in page.prose()
        for m in DISPLAY.finditer(text)
        if m[3]
    ]


def equations_labelled(page: Page) -> Iterator[str]:
    """A displayed equation is a paragraph and carries a label eq-…."""
    for where, text in page.prose():
        for before, formula, label, after in DISPLAY.findall(text):
            start = formula.strip()[:40]
            if not (label or "").startswith("eq-"):
                yield f"{where}: equation without a label eq-…: {start}"
            if before.strip() or after.strip():
                yield f"{where}: equation is not its own paragraph: {start}"


def proved(page: Page) -> tuple[set[str], list[str]]:
    """Return the equations that cells name, and the cells without assert."""
    named: set[str] = set()
    idle = []
    code = "\n".join(cell.source for _, cell in page.code())
    asserts = re.compile(
        "|".join([r"\bassert", *(rf"\b{n}\(" for n in ALIAS.findall(code))])
    )
    for where, cell in page.code():
        if match := EQUATION.match(cell.source):
            if not asserts.search(cell.source.partition("\n")[2]):
                idle.append(where)
            named.update(re.split(r"\s*,\s*", match[1]))
    return named, idle


def equations_proved(page: Page) -> Iterator[str]:
    """Each equation is named in the first line of a cell that asserts."""
    named, idle = proved(page)
    for where in idle:
        yield f"{where}: names an equation and asserts nothing"
    known = labels(page)
    for label in sorted(set(known) - named):
        yield f"equation {label}: no cell starts with '# {label}: …'"
    for label in sorted(named - set(known)):
        yield f"{label}: named by a cell, but no equation has this label"


def plain_markdown(page: Page) -> Iterator[str]:
    """No MyST role or directive, which Colab would show as raw text."""
    for n, cell in enumerate(page.notebook.cells, 1):
        if cell.cell_type == "markdown" and (
            match := ROLE.search(cell.source)
        ):
            yield f"cell {n}: MyST role or directive {match[0].strip()!r}"


def prose_comments_fit(page: Page) -> Iterator[str]:
    """Check comments are well formed and stand behind a number."""
    yield from complaints(page.notebook)


def prose_covered(page: Page) -> Iterator[str]:
    """Nine of ten numbers that come from code carry a check."""
    got = coverage(page.notebook)
    if got.share < WANTED:
        yield f"numbers in prose: {got}, at least {100 * WANTED:.0f} %"


def vocabulary(page: Page) -> Iterator[str]:
    """No other name for a term of the glossary, no American spelling."""
    yield from terms.forbidden_names(page.notebook, terms.glossary())


def introductions(page: Page) -> Iterator[str]:
    """A chapter introduces a term once, as the glossary has it, in time."""
    if page.chapter:
        data = terms.glossary()
        yield from terms.introductions_agree(page.notebook, data)
        yield from terms.not_before(page.notebook, data)


def links_resolve(page: Page) -> Iterator[str]:
    """Relative links lead to files of the book and to what is in them."""
    cells = [
        (n, cell.source)
        for n, cell in enumerate(page.notebook.cells, 1)
        if cell.cell_type == "markdown"
    ]
    whole = "\n\n".join(source for _, source in cells)
    for n, source in cells:
        for text in links.complaints(page.path, source, whole):
            yield f"cell {n}: {text}"


RULES = (
    equations_labelled, equations_proved, plain_markdown, prose_comments_fit,
    prose_covered, vocabulary, introductions, links_resolve,
)  # fmt: skip
