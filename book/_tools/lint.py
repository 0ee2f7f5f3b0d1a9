"""Rules that every notebook keeps: small functions, a page in, complaints out.

``notebooks.py check`` runs them all; ``tests/book`` shows each of them
failing. They are in ``rules_*.py``, by subject; what concerns several pages
at once is here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import links
import prose_comments
import rules_equations
import rules_exercises
import rules_figures
import rules_files
import rules_terms
import rules_text
import terms
from page import ROOT, Page
from rules_equations import (
    equations_labelled,
    equations_proved,
    formulas_closed,
    labels,
)
from rules_exercises import exercises, known, outlines, solutions
from rules_figures import (
    alt_text,
    drawings_named,
    explorers,
    live_cell,
)
from rules_files import (
    FIRST_CELL,
    cell_shape,
    executed,
    first_cell,
    ignored,
    local_paths,
    no_errors,
    no_stderr,
    normal_form,
    size,
    tags,
)
from rules_terms import (
    chinese,
    introductions,
    own_words_agree,
    vocabulary,
)
from rules_text import (
    links_resolve,
    plain_markdown,
    prose_comments_fit,
    prose_covered,
)

__all__ = [
    "FIRST_CELL", "ROOT", "RULES", "Page", "alt_text", "cell_shape",
    "chinese", "coverage", "drawings_named", "equations_labelled",
    "equations_proved", "executed", "exercises", "explorers", "first_cell",
    "formulas_closed", "ignored", "introductions", "known", "labels",
    "links_resolve", "lint", "live_cell", "local_paths", "no_errors",
    "no_stderr", "normal_form", "outlines", "own_words_agree",
    "plain_markdown", "prose_comments_fit", "prose_covered", "size",
    "solutions", "tags", "vocabulary",
]  # fmt: skip

RULES = (
    *rules_files.RULES,
    *rules_figures.RULES,
    *rules_equations.RULES,
    *rules_text.RULES,
    *rules_terms.RULES,
    *rules_exercises.RULES,
)


def lint(pages: list[Page]) -> list[str]:
    """Return every complaint about ``pages``, each with the file's name.

    Where all chapters are among them, the book as a whole is looked at, too:
    the glossary, the Markdown pages, the exercises that no chapter sets.
    """
    found = [
        f"{p.name}: {text}"
        for p in pages
        for rule in RULES
        for text in rule(p)
    ]
    owner: dict[str, str] = {}
    for page in pages:
        for label in labels(page):
            if label in owner:
                found.append(
                    f"{page.name}: label {label} taken by {owner[label]}"
                )
            owner.setdefault(label, page.name)
    if set(terms.chapters()) <= {page.path for page in pages}:
        found += whole_book([page for page in pages if page.chapter])
    return found


def whole_book(chapters: list[Page]) -> Iterator[str]:
    """Yield what no single notebook can be blamed for."""
    yield from rules_terms.whole_book()
    yield from rules_exercises.all_set(chapters)
    yield from rules_figures.all_named()
    for path in terms.pages():
        yield from links.page_complaints(path)
        yield from rules_equations.page_complaints(path)


def coverage(pages: list[Page]) -> list[str]:
    """Return what is checked: equations and numbers, per page and in all."""
    lines, equations, checked, due = [], [0, 0], 0, 0
    for page in pages:
        known_here = labels(page)
        named, _ = rules_equations.proved(page)
        got = sum(label in named for label in known_here)
        numbers = prose_comments.coverage(page.notebook)
        equations[0] += got
        equations[1] += len(known_here)
        checked += numbers.checked
        due += numbers.checked + len(numbers.unchecked)
        lines.append(
            f"{page.name}: {got} of {len(known_here)} equations asserted; "
            f"numbers: {numbers}"
        )
    share = 100 * checked / due if due else 100
    lines.append(
        f"{equations[0]} of {equations[1]} equations asserted, "
        f"{checked} of {due} numbers from code checked ({share:.0f} %)"
    )
    return lines
