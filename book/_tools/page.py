"""A notebook as the rules see it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
CHAPTER_FOLDERS = ("foundations", "reach", "cost", "compare")


def short(path: Path) -> str:
    """Name a file; a page of solutions has the file name of its chapter."""
    solves = path.parent.name == "solutions"
    return f"solutions/{path.name}" if solves else path.name


@dataclass(frozen=True)
class Page:
    """A notebook: file, text, as read, and as the normaliser writes it."""

    path: Path
    text: str
    notebook: NotebookNode
    normal: str

    @property
    def name(self) -> str:
        """The name that complaints carry."""
        return short(self.path)

    @property
    def chapter(self) -> bool:
        """A chapter of the book; a page of solutions is none."""
        return self.path.parent.name in CHAPTER_FOLDERS

    def code(self) -> Iterator[tuple[str, NotebookNode]]:
        """Yield (where, cell) for each code cell."""
        for n, cell in enumerate(self.notebook.cells, 1):
            if cell.cell_type == "code":
                yield f"cell {n}", cell

    def prose(self) -> Iterator[tuple[str, str]]:
        """Yield (where, text without code) for each Markdown cell."""
        for n, cell in enumerate(self.notebook.cells, 1):
            if cell.cell_type == "markdown":
                text = re.sub(
                    r"^```.*?^```",
                    "",
                    cell.source,
                    flags=re.DOTALL | re.MULTILINE,
                )
                yield f"cell {n}", re.sub(r"(?<!\{)`[^`\n]*`", "``", text)

    def html(self) -> Iterator[tuple[str, str]]:
        """Yield (where, text) for each HTML output."""
        for where, cell in self.code():
            for output in cell.outputs:
                text = output.get("data", {}).get("text/html", "")
                if text:
                    yield where, text


def output_text(cell: NotebookNode) -> Iterator[str]:
    """Yield what the outputs of a cell say, pictures left out."""
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield output.get("evalue", "")
        yield from output.get("traceback", [])
        for kind, value in output.get("data", {}).items():
            if isinstance(value, str) and kind not in (
                "image/png",
                "image/jpeg",
            ):
                yield re.sub(r"data:image/\w+;base64,[\w+/=\s]+", "", value)


def parsed(source: str) -> ast.Module:
    """Return the syntax tree of a code cell; a line of IPython's is ``pass``.

    Raises:
        SyntaxError: the cell is no Python.
    """
    try:
        return ast.parse(source)
    except SyntaxError:
        magic = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)
        return ast.parse(magic.sub(r"\1pass", source))


def bound_by_import(notebook: NotebookNode) -> frozenset[str]:
    """Return the names that ``import ...`` binds: modules, no values."""
    found = set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        try:
            tree = parsed(cell.source)
        except SyntaxError:  # such a cell stores an error: rules_files
            continue
        found |= {
            (name.asname or name.name).partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for name in node.names
        }
    return frozenset(found)
