"""Rules about exercises, their checks and their solutions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import nbformat
from nbformat import NotebookNode
from page import Page, output_text

TITLE = re.compile(r"^\*\*(\d+)\s+★{1,3}\s", re.MULTILINE)
EXERCISE = re.compile(
    r"^\*\*(\d+)\s+★{1,3}\s(.*?)(?=^\*\*\d+\s+★|^#{1,6}\s|\Z)",
    re.DOTALL | re.MULTILINE,
)
FOLDED_ANY = re.compile(
    r"<details\b[^>]*>\s*<summary\b[^>]*>(.*?)</summary>(.*?)</details>",
    re.DOTALL,
)
FOLDED = re.compile(
    r"<details\b[^>]*>\s*<summary>\s*\S[^<]*</summary>\s*(?!</details>)\S",
)
CHECK = re.compile(r"\bcheck\(\s*[\"']([\w-]+)[\"']")
LEAST, MOST, LEAST_CHECKED = 3, 5, 2


@cache
def registered() -> frozenset[str]:
    """Return the exercises that attnlib can check."""
    from attnlib.exercises import list_exercises

    return frozenset(list_exercises())


def checked(notebook: NotebookNode) -> list[tuple[str, str, NotebookNode]]:
    """Return (where, exercise, cell) for each call of check."""
    return [
        (f"cell {n}", key, cell)
        for n, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "code"
        for key in CHECK.findall(cell.source)
    ]


def says(cell: NotebookNode, word: str) -> int:
    """Count the lines of a cell's outputs that start with ``word``."""
    text = "\n".join(output_text(cell))
    return len(re.findall(rf"^{word}\b", text, re.MULTILINE))


def known(page: Page) -> Iterator[str]:
    """Whatever is checked can be checked."""
    for where, key, _ in checked(page.notebook):
        if key not in registered():
            yield f"{where}: no exercise {key!r} in attnlib.exercises"


def exercises(page: Page) -> Iterator[str]:
    """A chapter sets three to five exercises; checks refuse the skeletons."""
    if not page.chapter:
        return
    numbers = [int(n) for _, text in page.prose() for n in TITLE.findall(text)]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"exercises are numbered {numbers}"
    if not LEAST <= len(numbers) <= MOST:
        yield f"{len(numbers)} exercises, a chapter has {LEAST} to {MOST}"
    found = checked(page.notebook)
    keys = [key for _, key, _ in found]
    if len(set(keys)) < LEAST_CHECKED:
        yield f"{len(set(keys))} exercises with a check, at least two"
    if len({key.rpartition("-")[0] for key in keys}) > 1:
        yield "checks of more than one prefix"
    for where, key, cell in found:
        lines = cell.source.split("\n")
        if keys.count(key) > 1:
            yield f"{where}: {key} is checked more than once"
        if lines[0] != f"# {key}: your turn":
            yield f"{where}: the first line must be '# {key}: your turn'"
        if not lines[-1].startswith("check("):
            yield f"{where}: the last line must be check(…)"
        if key.rpartition("-")[2] not in map(str, numbers):
            yield f"{where}: {key}, but no such number in the text"
        if says(cell, "Not yet") != 1 or says(cell, "Right"):
            yield f"{where}: {key} must print 'Not yet' for the skeleton"


def outlines(page: Page) -> Iterator[str]:
    """An exercise that nothing checks has a folded outline of its answer."""
    if not page.chapter:
        return
    keys = {key for _, key, _ in checked(page.notebook)}
    numbers = {key.rpartition("-")[2] for key in keys}
    whole = "\n\n".join(text for _, text in page.prose())
    for match in EXERCISE.finditer(whole):
        folded = FOLDED.search(match[2])
        if match[1] not in numbers and not folded:
            yield f"exercise {match[1]}: neither a check nor an outline"
    for summary, answer in FOLDED_ANY.findall(whole):
        if not (summary.strip() and answer.strip()):
            yield f"nothing is folded under {summary.strip()!r}"
    if whole.count("<details") != len(FOLDED_ANY.findall(whole)):
        yield "<details> without its <summary> or </details>"


def solutions(page: Page) -> Iterator[str]:
    """Beside each chapter stands a page that solves its exercises."""
    for where, key, cell in checked(page.notebook):
        if page.path.parent.name == "solutions" and (
            says(cell, "Right") < len(set(CHECK.findall(cell.source)))
            or says(cell, "Not yet")
        ):
            yield f"{where}: {key} must print 'Right'"
    keys = {key for _, key, _ in checked(page.notebook)}
    if not page.chapter or not keys:
        return
    link = f"../solutions/{page.path.name}"
    if not any(f"]({link}" in text for _, text in page.prose()):
        yield f"no link to {link}"
    file = page.path.parents[1] / "solutions" / page.path.name
    if not file.exists():
        yield f"no page book/solutions/{page.path.name}"
        return
    solved = {k for _, k, _ in checked(nbformat.read(file, as_version=4))}
    for key in sorted(keys - solved):
        yield f"{key} is not solved in book/solutions/{page.path.name}"
    for key in sorted(solved - keys):
        yield f"{key} is solved, but the chapter does not set it"


def all_set(chapters: list[Page]) -> Iterator[str]:
    """Every check that attnlib has belongs to a chapter."""
    keys = {k for page in chapters for _, k, _ in checked(page.notebook)}
    for key in sorted(registered() - keys):
        yield f"attnlib.exercises: no chapter sets {key}"


RULES = (known, exercises, outlines, solutions)
