"""Rules about Markdown, numbers and links in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import links
from numerals import blank
from page import Page
from plain import BLOCK, FORMULA, MYST
from prose_comments import COMMENT, WANTED, complaints, coverage

# Code that is closed; what stands before a role is none.
FENCE = re.compile(
    rf"^{BLOCK}(`{{3,}}|~{{3,}})(?!\s*\{{).*?^[> \t]*\1[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
SPAN = re.compile(r"(?<![`}])`[^`\n]+`(?![`{])")


def plain_markdown(page: Page) -> Iterator[str]:
    """Nothing of MyST alone, which Colab would show as raw text."""
    for n, cell in enumerate(page.notebook.cells, 1):
        if cell.cell_type != "markdown":
            continue
        text = cell.source
        for pattern in (FENCE, SPAN, COMMENT, FORMULA):
            text = blank(text, pattern)
        for what, pattern in MYST.items():
            if match := pattern.search(text):
                shown = " ".join(match[0].split())[:40]
                yield f"cell {n}: MyST {what} {shown!r}"


def prose_comments_fit(page: Page) -> Iterator[str]:
    """Check comments are well formed and stand behind a number."""
    yield from complaints(page.notebook)


def prose_covered(page: Page) -> Iterator[str]:
    """Nine of ten numbers that come from code carry a check."""
    got = coverage(page.notebook)
    if got.share < WANTED:
        yield f"numbers in prose: {got}, at least {100 * WANTED:.0f} %"


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


RULES = (plain_markdown, prose_comments_fit, prose_covered, links_resolve)
