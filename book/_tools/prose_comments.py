"""The invisible comments behind numbers: reading them, static rules, coverage.

How they are written is told in ``prose.py``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numerals
import prose_bounds
from nbformat import NotebookNode
from page import bound_by_import

WANTED = 0.9
COMMENT = re.compile(
    r"<!--(?:(?P<check>=(?P<when>below\b|end\b)?(?:\s*last(?P<last>\d+)\b)?)"
    r"|given(?:\s+last(?P<given>\d+))?:)(?P<text>.*?)-->",
    re.DOTALL,
)
BEHIND = re.compile(r"(?:\s?\\?%|[*_$)\]}|⟩])*")
JOINED = re.compile(r"[\s$]*(?:×|x|–|to|and|\\times)[\s$]*")


@dataclass(frozen=True)
class Comment:
    """A check or a reason, and the numbers that it speaks of."""

    cell: int
    when: str  # "above", "below", "end", or "given"
    text: str
    numbers: tuple[numerals.Numeral, ...]
    problems: tuple[str, ...]

    @property
    def printed(self) -> str:
        return ", ".join(n.text for n in self.numbers)


@dataclass(frozen=True)
class Coverage:
    """Counted numbers of a notebook; ``unchecked`` holds (cell, number)."""

    checked: int
    given: int
    unchecked: tuple[tuple[int, str], ...]

    @property
    def share(self) -> float:
        due = self.checked + len(self.unchecked)
        return self.checked / due if due else 1.0

    def __str__(self) -> str:
        return (
            f"{self.checked} checked, {self.given} given, "
            f"{len(self.unchecked)} unchecked: {100 * self.share:.0f} %"
        )


def tree(text: str) -> ast.expr | None:
    """Return the syntax tree of an expression, or None."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _expression_problems(
    text: str,
    numbers: list[numerals.Numeral],
    clean: str,
    modules: frozenset[str],
) -> Iterator[str]:
    node = tree(text)
    if node is None:
        yield "not a Python expression"
        return
    if any(isinstance(n, ast.NamedExpr) for n in ast.walk(node)):
        yield "an expression must not assign"
    shown = isinstance(node, (ast.Tuple, ast.List))
    parts = node.elts if shown else [node]
    for part in parts:
        if not prose_bounds.names(part):
            yield (
                "checks nothing: no name of the notebook in it (arithmetic "
                "alone is <!--given: arithmetic -->)"
            )
        if isinstance(part, ast.Starred) and isinstance(node, ast.Tuple):
            yield "write the entries of a tuple one by one"
    if len(parts) != len(numbers):
        return
    for part, number in zip(parts, numbers, strict=True):
        if prose_bounds.truth(part):
            before = clean[max(0, number.start - 90) : number.start]
            behind = clean[number.end : number.end + 40]
            yield from prose_bounds.bound(part, number, before, behind)
        elif prose_bounds.written(part, number, modules):
            yield f"checks nothing: {number.text} itself stands in it"


def _parse(
    cell: int, source: str, modules: frozenset[str]
) -> tuple[list[Comment], str]:
    """Return the comments of a Markdown cell and its text without them."""
    visible = numerals.blank(source, numerals.CODE)
    found = list(COMMENT.finditer(visible))
    clean, last = "", 0
    places = []
    for match in found:
        clean += source[last : match.start()]
        places.append(len(clean))
        last = match.end()
    clean += source[last:]
    numbers = numerals.numerals(clean)
    comments = []
    for match, place in zip(found, places, strict=True):
        text, problems = match["text"].strip(), []
        start = source.rfind("\n", 0, match.start()) + 1
        line = source[start:]
        if not source[start : match.start()].strip(" >|*+-"):
            problems.append("a comment must not start a line")
        if line.startswith("# "):
            problems.append("no comment in a heading of level 1")
        if "\n" in match[0] or "--" in match["text"]:
            problems.append("one line, without '--' inside")
        if line.lstrip().startswith("|") and "|" in match["text"]:
            problems.append("| would end the cell of the table")
        when = (match["when"] or "above") if match["check"] else "given"
        if when == "given" and " " not in text and len(text) < 4:
            problems.append("given without a reason")
        count = int(match["last"] or match["given"] or 0)
        count = count or (1 if when == "given" else _count(text))
        own = _numbers_before(clean, place, numbers, when, count)
        if not own:
            problems.append("not directly behind a number")
        if when != "given":
            problems += _expression_problems(text, own, clean, modules)
        comments.append(Comment(cell, when, text, tuple(own), tuple(problems)))
    return comments, clean


def _count(text: str) -> int:
    node = tree(text)
    return len(node.elts) if isinstance(node, ast.Tuple) else 1


def _numbers_before(
    clean: str,
    place: int,
    numbers: list[numerals.Numeral],
    when: str,
    count: int,
) -> list[numerals.Numeral]:
    """Return the numbers that a comment at ``place`` speaks of."""
    earlier = [n for n in numbers if n.end <= place]
    if not earlier:
        return []
    start = clean.rfind("\n\n", 0, place) + 1
    dollars = [
        m.start() for m in re.finditer(r"(?<!\\)\$", clean[start:place])
    ]
    behind = BEHIND.fullmatch(clean, earlier[-1].end, place)
    if not behind and dollars and len(dollars) % 2 == 0:
        closes = start + dollars[-1]
        behind = BEHIND.fullmatch(clean, closes + 1, place)
        if earlier[-1].start < start + dollars[-2]:
            behind = None
    if not behind:
        return []
    if when == "given" and count == 1:
        while count < len(earlier) and JOINED.fullmatch(
            clean, earlier[-count - 1].end, earlier[-count].start
        ):
            count += 1
    return earlier[-count:] if 0 < count <= len(earlier) else []


def comments(notebook: NotebookNode) -> list[Comment]:
    """Return all check and given comments, in reading order."""
    modules = bound_by_import(notebook)
    return [
        comment
        for n, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "markdown"
        for comment in _parse(n, cell.source, modules)[0]
    ]


def checks(notebook: NotebookNode) -> list[Comment]:
    """Return the comments that hold an expression."""
    return [c for c in comments(notebook) if c.when != "given"]


def complaints(notebook: NotebookNode) -> Iterator[str]:
    """Yield what is wrong with the comments, without executing anything."""
    modules = bound_by_import(notebook)
    for n, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "markdown":
            continue
        found, _ = _parse(n, cell.source, modules)
        for comment in found:
            for problem in comment.problems:
                yield f"cell {n}: <!-- {comment.text[:40]} -->: {problem}"
            below = notebook.cells[n:]
            if comment.when == "below" and not any(
                c.cell_type == "code" for c in below
            ):
                yield f"cell {n}: {comment.text[:40]}: no code cell below"
        rest = COMMENT.sub("", numerals.blank(cell.source, numerals.CODE))
        for match in re.finditer(r"<!--.{0,30}", rest):
            yield f"cell {n}: not a comment that is known: {match[0]}"


def coverage(notebook: NotebookNode) -> Coverage:
    """Count the numbers that are checked, given and neither."""
    modules = bound_by_import(notebook)
    checked = given = 0
    unchecked = []
    for n, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "markdown":
            continue
        found, clean = _parse(n, cell.source, modules)
        good = [c for c in found if not c.problems]
        by_check = {x.start for c in good if c.when != "given"
                    for x in c.numbers}  # fmt: skip
        by_hand = {x.start for c in good if c.when == "given"
                   for x in c.numbers}  # fmt: skip
        for number in numerals.numerals(clean):
            if not number.counted:
                continue
            if number.start in by_check:
                checked += 1
            elif number.start in by_hand:
                given += 1
            else:
                context = clean[number.start - 25 : number.end + 15]
                if number.start < 25:
                    context = clean[: number.end + 15]
                unchecked.append((n, " ".join(context.split())))
    return Coverage(checked, given, tuple(unchecked))
