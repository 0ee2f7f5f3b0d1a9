"""Rules for chapters: explorer, live cell, exercises, solutions, terms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lint
import nbformat
import pytest
import rules_exercises
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from test_lint import good, noticed, page, source

EXPLORER = (
    "<figure class='attn-explorer'><figcaption>Look at the edge.</figcaption>"
    "<img alt='a red cross'></figure>"
)
LIVE = """\
# Live: one knob
from ipywidgets import interact

controls = interact(draw, t=[1, 2])"""
TEXT = """\
A **query (查询)** asks, and the queries ask again.

## Exercises

**1 ★ Pencil (5 min).** One.

<details><summary>Outline</summary>

Count.

</details>

**2 ★★ Code (20 min).** Two.

**3 ★★★ Code (30 min).** Three.

Solutions: [on their own page](../solutions/x.ipynb)"""


def result(text: str) -> NotebookNode:
    return new_output("execute_result", {"text/plain": text})


def exercise(n: int, said: str) -> NotebookNode:
    return new_code_cell(
        f'# x-{n}: your turn\nanswer = ...\ncheck("x-{n}", answer)',
        outputs=[result(said)],
    )


def ran(notebook: NotebookNode) -> NotebookNode:
    """Mark the code cells as executed; the normaliser counts them."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = 1
    return notebook


EXPLORED, LIVED, TOLD, FIRST, SECOND = 4, 5, 6, 7, 8  # cells of the chapter


def chapter() -> NotebookNode:
    """Return a small chapter that keeps every rule."""
    notebook = good()
    notebook.cells += [
        new_code_cell(
            "explore()",
            outputs=[new_output("display_data", {"text/html": EXPLORER})],
        ),
        new_code_cell(
            LIVE,
            metadata={"tags": ["remove-cell", "nbval-ignore-output"]},
        ),
        new_markdown_cell(TEXT),
        exercise(2, "Not yet: think."),
        exercise(3, "Not yet: think again."),
        *(new_code_cell(f"{n}") for n in range(4)),
    ]
    return ran(notebook)


def answers() -> NotebookNode:
    """Return the page of solutions beside it."""
    notebook = good()
    notebook.cells += [exercise(2, "Right: so."), exercise(3, "Right: so.")]
    return ran(notebook)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a book whose exercises are x-2 and x-3."""
    (tmp_path / "solutions").mkdir()
    nbformat.write(answers(), tmp_path / "solutions" / "x.ipynb")
    monkeypatch.setattr(
        rules_exercises, "registered", lambda: frozenset({"x-2", "x-3"})
    )
    return tmp_path


def read(book: Path, notebook: NotebookNode, part: str) -> lint.Page:
    seen = page(notebook)
    return lint.Page(
        book / part / "x.ipynb", seen.text, seen.notebook, seen.normal
    )


def drop(cell: int) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells.pop(cell)


def repeat(cell: int) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells.append(nbformat.from_dict(nb.cells[cell]))


def replace(cell: int, old: str, new: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        assert old in notebook.cells[cell].source
        text = notebook.cells[cell].source.replace(old, new)
        notebook.cells[cell].source = text

    return change


def prints(cell: int, text: str) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells[cell].update(outputs=[result(text)])


TAMPERED = {
    "no explorer": (lint.explorers, drop(EXPLORED)),
    "two explorers": (lint.explorers, repeat(EXPLORED)),
    "no live cell": (lint.live_cell, drop(LIVED)),
    "two live cells": (lint.live_cell, repeat(LIVED)),
    "live cell without its name": (
        lint.live_cell,
        replace(LIVED, "# Live: one", "# One"),
    ),
    "live cell without import": (
        lint.live_cell,
        replace(LIVED, "from ipywidgets import interact", ""),
    ),
    "live cell without interact": (
        lint.live_cell,
        replace(LIVED, "interact(", "print("),
    ),
    "live cell shown": (
        lint.live_cell,
        lambda nb: nb.cells[LIVED].metadata.tags.pop(0),
    ),
    "widgets in another cell": (
        lint.live_cell,
        source(EXPLORED, "import ipywidgets"),
    ),
    "two exercises": (lint.exercises, replace(TOLD, "**3 ★★★", "**Three")),
    "six exercises": (
        lint.exercises,
        replace(TOLD, "Three.", "\n".join(f"**{n} ★ A" for n in (4, 5, 6))),
    ),
    "a number left out": (lint.exercises, replace(TOLD, "**2 ", "**4 ")),
    "one exercise with a check": (lint.exercises, drop(FIRST)),
    "check of another chapter": (
        lint.exercises,
        replace(SECOND, "x-3", "y-3"),
    ),
    "one exercise twice": (lint.exercises, replace(SECOND, "x-3", "x-2")),
    "no first line": (lint.exercises, replace(FIRST, "your turn", "go")),
    "check not last": (
        lint.exercises,
        replace(FIRST, "answer)", "answer)\nanswer"),
    ),
    "exercise without text": (lint.exercises, replace(FIRST, "x-2", "x-5")),
    "skeleton accepted": (lint.exercises, prints(FIRST, "Right: so.")),
    "skeleton not run": (lint.exercises, prints(FIRST, "2")),
    "no link to the solutions": (
        lint.solutions,
        replace(TOLD, "(../solutions/x.ipynb)", ""),
    ),
    "exercise without solution": (
        lint.solutions,
        replace(FIRST, "x-2", "x-1"),
    ),
    "solution without exercise": (lint.solutions, drop(FIRST)),
    "unknown exercise": (lint.known, replace(FIRST, "x-2", "x-1")),
    "unknown term": (
        lint.introductions,
        replace(TOLD, "query (查询)", "wish (愿望)"),
    ),
    "wrong Chinese": (lint.introductions, replace(TOLD, "查询", "键")),
    "introduced twice": (
        lint.introductions,
        replace(TOLD, "the queries", "the **queries (查询)**"),
    ),
    "used before": (
        lint.introductions,
        replace(TOLD, "A **", "Any key or query. A **"),
    ),
    "Chinese outside the bold": (
        lint.introductions,
        replace(TOLD, "**query (查询)**", "**query** (查询)"),
    ),
}


def test_the_good_chapter_and_its_solutions_are_good(book: Path) -> None:
    pages = [read(book, chapter(), "cost"), read(book, answers(), "solutions")]
    assert lint.lint(pages[:1]) == lint.lint(pages[1:]) == []


@pytest.mark.parametrize(
    ("rule", "tamper"), TAMPERED.values(), ids=TAMPERED.keys()
)
def test_rule_fails_on_a_tampered_copy(
    book: Path,
    rule: Callable[[lint.Page], list[str]],
    tamper: Callable[[NotebookNode], None],
) -> None:
    noticed(rule, tamper, chapter(), lambda nb: read(book, nb, "reach"))


def test_a_live_cell_stores_nothing(book: Path) -> None:
    tampered = chapter()  # the normaliser would drop the output
    prints(LIVED, "<function draw>")(tampered)
    seen = lint.Page(book / "cost" / "x.ipynb", "", tampered, "")
    assert list(lint.live_cell(seen)) == ["cell 6: output of a live cell"]


@pytest.mark.parametrize("said", ["Not yet: no.", "Right: so.\nNot yet: no."])
def test_solutions_must_be_right(book: Path, said: str) -> None:
    notebook = answers()
    prints(-1, said)(notebook)
    (found,) = lint.solutions(read(book, notebook, "solutions"))
    assert found.endswith("x-3 must print 'Right'")


def test_a_chapter_needs_a_page_of_solutions(book: Path) -> None:
    (book / "solutions" / "x.ipynb").unlink()
    (found,) = lint.solutions(read(book, chapter(), "compare"))
    assert found == "no page book/solutions/x.ipynb"
