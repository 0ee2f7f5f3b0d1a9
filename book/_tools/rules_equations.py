"""Rules about formulas: written so that all editions show them, and proved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numerals
import rules_assertions
from page import Page

DISPLAY = re.compile(
    r"(.?)[ \t]*\$\$(.+?)\$\$[ \t]*(?:\(([\w:.-]+)\))?[ \t]*(.?)", re.DOTALL
)
EQUATION = re.compile(r"#\s*(eq-[\w-]+(?:\s*,\s*eq-[\w-]+)*)\s*:")
# What is left where all formulas are closed.
BLOCK = re.compile(
    r"(?<!\\)\$\$(?:(?!\$\$|\n[ \t]*\n).)+?(?<!\\)\$\$", re.DOTALL
)
INLINE = re.compile(r"(?<![\\$])\$(?!\$)(?:\\.|[^$\\])+?\$")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
TAG = re.compile(r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>", re.IGNORECASE)
ADDRESS = re.compile(r"(?<=\])\([^)\s]*\)|https?://\S+")
BRACKET = re.compile(r"\\\[|\\\(|\\begin\b|\\end\b")
LEFT = re.compile(r"(?<!\\)\$|\\[a-zA-Z]+")


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


def open_formulas(text: str) -> Iterator[tuple[int, str]]:
    r"""Yield (place, complaint) for math that no ``$`` or ``$$`` encloses.

    A formula ends in its paragraph, in a table in its cell.
    """
    for pattern in (numerals.CODE, COMMENT, TAG, ADDRESS, BLOCK):
        text = numerals.blank(text, pattern)
    for part in re.finditer(r"(?:[^\n]|\n(?![ \t>]*(?:\n|$)))+", text):
        table = part[0].lstrip("> ").startswith("|")
        pieces = r"(?:\\.|[^|\\\n])+" if table else r".+"
        for piece in re.finditer(pieces, part[0], re.DOTALL):
            rest = numerals.blank(piece[0], INLINE)
            if not (match := BRACKET.search(rest) or LEFT.search(rest)):
                continue
            place = part.start() + piece.start() + match.start()
            shown = " ".join(text[place : place + 30].split())
            if BRACKET.match(match[0]):
                yield place, f"formula outside of $$ … $$: {shown}"
            else:
                yield place, f"formula that is not closed: {shown}"


def formulas_closed(page: Page) -> Iterator[str]:
    r"""Math stands in ``$`` or ``$$``; no ``\[``, no bare environment."""
    for n, cell in enumerate(page.notebook.cells, 1):
        if cell.cell_type == "markdown":
            for _, text in open_formulas(cell.source):
                yield f"cell {n}: {text}"


def page_complaints(path: Path) -> Iterator[str]:
    """Yield the formulas of a Markdown page that are not closed."""
    text = path.read_text(encoding="utf-8")
    for place, complaint in open_formulas(text):
        line = text.count("\n", 0, place) + 1
        yield f"{path.name}: line {line}: {complaint}"


def proved(page: Page) -> tuple[set[str], list[str]]:
    """Return the equations that cells prove, and the cells without assert.

    A cell proves what its first line names if it asserts something about its
    variables, see ``rules_assertions``.
    """
    named: set[str] = set()
    idle = []
    asserting = set(rules_assertions.asserting(page.notebook))
    for where, cell in page.code():
        if match := EQUATION.match(cell.source):
            if int(where.removeprefix("cell ")) in asserting:
                named.update(re.split(r"\s*,\s*", match[1]))
            else:
                idle.append(where)
    return named, idle


def equations_proved(page: Page) -> Iterator[str]:
    """Each equation is named in the first line of a cell that asserts."""
    named, idle = proved(page)
    for where in idle:
        yield (
            f"{where}: names an equation and asserts nothing about a variable"
        )
    known = labels(page)
    for label in sorted(set(known) - named):
        yield f"equation {label}: no cell '# {label}: …' that asserts"
    for label in sorted(named - set(known)):
        yield f"{label}: named by a cell, but no equation has this label"


RULES = (equations_labelled, formulas_closed, equations_proved)
