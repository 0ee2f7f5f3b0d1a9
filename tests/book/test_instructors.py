"""What the page for instructors says of chapters and exercises is so."""

from __future__ import annotations

import re
from pathlib import Path

import lint
import nbformat
import pytest
import yaml

PAGE = (lint.ROOT / "book/back/instructors.md").read_text("utf-8")
FIGURE = lint.ROOT / "book" / "figures" / "instructors-ladder.svg"
KINDS = {
    "P": {"Pencil", "Predict", "Explain", "Prove", "Count"},
    "C": {
        "Code",
        "Code and thought",
        "Fold",
        "Pencil and code",
        "Proof and code",
    },
    "R": {"Repair"},
    "E": {"Experiment", "Explain and measure", "Investigate", "Measure"},
}
LETTER = {word: letter for letter, words in KINDS.items() for word in words}
EXERCISE = re.compile(r"\*\*\d ★+ ([A-Z][a-z]+(?: and [a-z]+)?) \((\d+) min\)")


def numbered() -> dict[str, int]:
    """Return the number of each chapter."""
    toc = yaml.safe_load((lint.ROOT / "_toc.yml").read_text("utf-8"))
    parts = ("Foundations", "Reach", "Cost", "Compare")
    files = [
        chapter["file"]
        for part in toc["parts"]
        if part["caption"] in parts
        for chapter in part["chapters"]
    ]
    return {file: number for number, file in enumerate(files, 1)}


CHAPTERS = numbered()


def text_of(file: str) -> str:
    notebook = nbformat.read(lint.ROOT / f"{file}.ipynb", as_version=4)
    cells = [c.source for c in notebook.cells if c.cell_type == "markdown"]
    return "\n".join(cells)


def needs(file: str) -> list[int]:
    """Return the numbers of the chapters that "You need" links to."""
    found = re.search(
        r"\*\*You need\*\*(.*?)\*\*Afterwards", text_of(file), re.DOTALL
    )
    assert found, file
    here = (lint.ROOT / file).parent
    links = re.findall(r"\]\(([\w./]+)\.ipynb", found[1])
    paths = [(here / link).resolve() for link in links]
    names = [path.relative_to(lint.ROOT.resolve()) for path in paths]
    return sorted({CHAPTERS[name.as_posix()] for name in names})


def exercises(file: str) -> str:
    found = EXERCISE.findall(text_of(file).split("## Exercises")[1])
    return " ".join(LETTER[kind] + minutes for kind, minutes in found)


def rows() -> dict[int, list[str]]:
    """Return the cells of the page's table of exercises."""
    table = PAGE.split("## What each exercise trains")[1]
    lines = re.findall(r"^\| \[(\d+) .+$", table, re.MULTILINE)
    cells = re.findall(r"^\| (\[\d+ .+) \|$", table, re.MULTILINE)
    return {
        int(number): cell.split(" | ")
        for number, cell in zip(lines, cells, strict=True)
    }


def test_every_chapter_has_a_row() -> None:
    assert list(rows()) == list(CHAPTERS.values())


@pytest.mark.parametrize("file", CHAPTERS)
def test_row(file: str) -> None:
    link, before, work, trains = rows()[CHAPTERS[file]]
    title = re.search(r"^# (.+)$", text_of(file), re.MULTILINE)
    assert title
    target = f"../{Path(file).relative_to('book').as_posix()}.ipynb"
    assert link == f"[{CHAPTERS[file]} {title[1]}]({target})"
    assert before == (", ".join(map(str, needs(file))) or "–")
    assert work == exercises(file)
    assert trains


def test_totals() -> None:
    work = [part for row in rows().values() for part in row[2].split()]
    minutes = sum(int(part[1:]) for part in work)
    assert f"There are {len(work)} of them, {minutes:,} minutes" in PAGE


def furthest(file: str) -> int:
    """Return the last foundation chapter that a chapter rests on."""
    number = CHAPTERS[file]
    if number <= 6:
        return number
    names = {number: name for name, number in CHAPTERS.items()}
    return max(furthest(names[before]) for before in needs(file))


def test_the_ladder() -> None:
    """Each rung of the figure has the chapters that end there."""
    svg = FIGURE.read_text(encoding="utf-8")
    boxes = re.findall(
        r'<rect x="(\d+)" y="(\d+)"[^>]*/>\n<text[^>]*>(\d+) ', svg
    )
    drawn: dict[int, int] = {}
    rung = 0
    for x, _, number in boxes:
        rung = int(number) if int(x) < 100 else rung
        drawn[int(number)] = rung
    assert drawn == {n: furthest(file) for file, n in CHAPTERS.items()}
    for file, number in CHAPTERS.items():
        if 1 < number <= 6:
            assert max(needs(file)) < number


def test_plans_name_every_chapter_once() -> None:
    plan = PAGE.split("## Twelve weeks")[1].split("## Lab sheets")[0]
    cells = re.findall(r"^\| [\d–]+ \| ([\d, ]+) \|", plan, re.MULTILINE)
    named = [int(n) for cell in cells for n in cell.split(",")]
    assert sorted(named) == list(CHAPTERS.values())
