"""The notebooks of the book keep every rule, one by one and together."""

from __future__ import annotations

from pathlib import Path

import lint
import nbformat
import notebooks
import pytest
import rules_exercises
import terms
import test_lint
import test_lint_chapter
import test_lint_equations
import test_lint_planted
from test_lint import add_prose, good, page
from test_lint_chapter import SECOND, book, chapter, read

__all__ = ["book"]  # a fixture

NOTEBOOKS = sorted((lint.ROOT / "book").glob("*/*.ipynb"))


def test_there_are_notebooks_and_pages() -> None:
    # Else the tests below would be skipped without a word.
    assert len(NOTEBOOKS) >= 8
    assert len(terms.chapters()) >= 4
    assert len(terms.pages()) >= 6


def test_labels_are_unique_over_the_book() -> None:
    found = lint.lint([page(good()), page(good(), name="y.ipynb")])
    assert found == ["y.ipynb: label eq-one taken by x.ipynb"]


def test_coverage_is_told() -> None:
    notebook = good()
    add_prose("So 27.8<!--= a --> dB in 2005<!--given: a year -->.")(notebook)
    assert lint.coverage([page(notebook)]) == [
        "x.ipynb: 1 of 1 equations asserted; "
        "numbers: 1 checked, 1 given, 0 unchecked: 100 %",
        "1 of 1 equations asserted, 1 of 1 numbers from code checked (100 %)",
    ]


@pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_notebook(path: Path) -> None:
    assert lint.lint([notebooks.read(path)]) == []


def test_book_as_a_whole() -> None:
    pages = [notebooks.read(path) for path in NOTEBOOKS]
    assert lint.lint(pages) == []
    print("\n".join(lint.coverage(pages)))


def test_every_check_belongs_to_a_chapter(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [read(book, chapter(), "cost")]
    assert list(rules_exercises.all_set(pages)) == []
    pages[0].notebook.cells.pop(SECOND)
    assert list(rules_exercises.all_set(pages)) == [
        "attnlib.exercises: no chapter sets x-3"
    ]
    # The book as a whole is looked at where all of its chapters are given.
    assert not any("x-3" in text for text in lint.lint([]))
    pages[0].path.parent.mkdir()
    nbformat.write(pages[0].notebook, pages[0].path)
    monkeypatch.setattr(terms, "chapters", lambda: [pages[0].path])
    assert any("no chapter sets x-3" in text for text in lint.lint(pages))


def test_every_rule_is_shown_failing() -> None:
    tables = [
        test_lint.TAMPERED,
        test_lint_chapter.TAMPERED,
        test_lint_equations.TAMPERED,
        test_lint_planted.TAMPERED,
        test_lint_planted.IN_CHAPTER,
    ]
    shown = {rule for table in tables for rule, _ in table.values()}
    # These three have tests of their own.
    shown |= {lint.executed, lint.normal_form, lint.drawings_named}
    assert shown == set(lint.RULES)


def test_notebooks_and_tests_agree_on_what_a_chapter_is() -> None:
    found = {notebooks.read(path).path for path in NOTEBOOKS}
    assert set(terms.chapters()) == {
        path for path in found if path.parent.name != "solutions"
    }
