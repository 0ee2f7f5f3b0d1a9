"""A stamp under each chapter: how the page was checked.

Generated from the notebook and from the stamp of its stored run
(``book/_tools/stamps.py``): date, time, versions, and what the page asserts.
A notebook without a stamp, or one changed since it ran, is a warning.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from nbformat import NotebookNode

sys.path.append(str(Path(__file__).parents[1] / "_tools"))
import prose_comments
import stamps
from equations import LABEL

EQUATION = re.compile(r"#\s*(eq-[\w-]+(?:\s*,\s*eq-[\w-]+)*)\s*:\s*(.*)")
EXERCISE = re.compile(r"^[^#\n]*\bcheck\(\s*[\"']([\w-]+)[\"']", re.MULTILINE)
MAGIC = re.compile(r"^([ \t]*)[%!].*", re.MULTILINE)


@dataclass(frozen=True)
class Checked:
    """What a notebook asserts.

    Attributes:
        cells: number of code cells.
        assertions: ``assert`` statements and calls of ``assert_close``.
        equations: (label, why it holds), in the order of the page.
        exercises: names of the exercises that check an answer.
        numbers: numbers in the text that a cell recomputes.
    """

    cells: int
    assertions: int
    equations: tuple[tuple[str, str], ...]
    exercises: tuple[str, ...]
    numbers: int


def _nodes(source: str) -> list[ast.AST]:
    """Return the syntax of a cell; a magic command is none."""
    try:
        return list(ast.walk(ast.parse(MAGIC.sub(r"\1pass", source))))
    except SyntaxError:  # meant, in a cell that shows an exception
        return []


def _assertions(code: list[str]) -> int:
    """Count the assertions of the cells, under whatever name."""
    found = [node for source in code for node in _nodes(source)]
    close = {"assert_close"}
    for node in found:
        if isinstance(node, ast.ImportFrom):
            close |= {
                alias.asname
                for alias in node.names
                if alias.name == "assert_close" and alias.asname
            }
        if isinstance(node, ast.Assign) and _name(node.value) in close:
            close |= {ast.unparse(target) for target in node.targets}
    return sum(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and _name(node.func) in close)
        for node in found
    )


def _name(node: ast.AST) -> str:
    return ast.unparse(node).rpartition(".")[2]


def checked(notebook: NotebookNode) -> Checked:
    """Return what a notebook asserts."""
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    prose = [c.source for c in notebook.cells if c.cell_type != "code"]
    order = [a or b for a, b in LABEL.findall("\n\n".join(prose))]
    equations = [
        (label, match[2].strip())
        for match in map(EQUATION.match, code)
        if match
        for label in re.split(r"\s*,\s*", match[1])
    ]
    equations.sort(
        key=lambda e: order.index(e[0]) if e[0] in order else len(order)
    )
    exercises = [name for source in code for name in EXERCISE.findall(source)]
    return Checked(
        len(code),
        _assertions(code),
        tuple(equations),
        tuple(dict.fromkeys(exercises)),
        sum(len(c.numbers) for c in prose_comments.checks(notebook)),
    )


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' if number != 1 else ''}"


def _run(found: Checked, stamp: dict[str, Any]) -> str:
    """Return the sentence about the stored run."""
    day = date.fromisoformat(stamp["date"])
    used = [f"{k} {v}" for k, v in stamp["versions"].items()]
    used[0] = used[0].capitalize()
    return (
        f"{_count(found.cells, 'code cell')}, run in order on "
        f"{day.day} {day:%B %Y} in about {stamp['seconds']} s on one core, "
        f"with {', '.join(used[:-1])} and {used[-1]}. They make "
        f"{_count(found.assertions, 'assertion')}; one that fails stops "
        "the run."
    )


def _reference(label: str, docname: str) -> nodes.Node:
    """Return a link to an equation that reads as its number."""
    from sphinx.addnodes import pending_xref

    return pending_xref(
        "",
        nodes.literal(label, label),
        refdomain="math",
        reftype="eq",
        reftarget=label,
        refdoc=docname,
        refexplicit=False,
        refwarn=True,
    )


def _items(found: Checked, docname: str) -> Iterator[list[nodes.Node]]:
    reasons: dict[str, list[str]] = {}
    for label, why in found.equations:
        reasons.setdefault(label, []).append(why)
    # A cell may assert several equations: one line for them.
    shared: dict[str, list[str]] = {}
    for label, why in reasons.items():
        shared.setdefault("; ".join(why), []).append(label)
    for why, labels in shared.items():
        line: list[nodes.Node] = []
        for label in labels:
            line += [_reference(label, docname), nodes.Text(", ")]
        yield [*line[:-1], nodes.Text(f" {why}")]
    if found.exercises:
        names = ", ".join(found.exercises)
        count = _count(len(found.exercises), "exercise")
        yield [nodes.Text(f"{count} with a check of the answer: {names}")]
    if found.numbers:
        count = _count(found.numbers, "number")
        yield [nodes.Text(f"{count} in the text, compared with the code's")]


def box(
    found: Checked, stamp: dict[str, Any], docname: str
) -> list[nodes.Node]:
    """Return the folded box."""
    items = nodes.bullet_list(bullet="-")
    for content in _items(found, docname):
        items += nodes.list_item("", nodes.paragraph("", "", *content))
    summary = "<summary>How this page was checked</summary>"
    return [
        nodes.raw("", f'<details class="stamp">{summary}', format="html"),
        nodes.paragraph("", _run(found, stamp)),
        *([nodes.paragraph("", "Checked:"), items] if items.children else []),
        nodes.raw("", "</details>", format="html"),
    ]


def add_box(app: Any, doctree: nodes.document) -> None:
    """Put the box at the end of a notebook's page."""
    from sphinx.util import logging

    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb" or stamps.place(path) is None:
        return
    app.env.note_dependency(str(stamps.place(path)))
    if complaint := stamps.complaint(path):
        logging.getLogger(__name__).warning(
            "stamp: %s",
            complaint,
            location=app.env.docname,
            type="stamp",
        )
        return
    notebook = nbformat.read(path, as_version=4)
    end = next(doctree.findall(nodes.section), doctree)
    end.extend(box(checked(notebook), stamps.read(path), app.env.docname))


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx, after bookext has looked at the links."""
    app.connect("doctree-read", add_box, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
