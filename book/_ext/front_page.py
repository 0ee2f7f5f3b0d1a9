"""The front page shows figures of chapters: their stored outputs, no copies.

A line ``<!-- explorer of foundations/local_and_nonlocal -->`` in ``intro.md``
is replaced by the one explorer that this chapter has stored, ``table of`` by
its one table. nbval compares both with a fresh run, so what the front page
shows is true without a notebook of its own.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import nbformat

PAGE = "book/intro"
MARKER = re.compile(r"^<!-- (explorer|table) of ([\w/]+) -->$", re.MULTILINE)
# What is said here -> the class of its figure.
KINDS = {"explorer": "explorer", "table": "sortable"}
LINK = re.compile(r'(?<=href=")[^":#]+')


def figure(book: Path, kind: str, chapter: str) -> str:
    """Return a chapter's only figure of a kind, for a page of ``book``."""
    path = book / f"{chapter}.ipynb"
    found = [
        str(output.data["text/html"])
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
        if f'<figure class="attn-{KINDS[kind]}">'
        in output.get("data", {}).get("text/html", "")
    ]
    if len(found) != 1:
        raise ValueError(f"{chapter} has {len(found)} figures of kind {kind}")
    folder = posixpath.dirname(chapter)
    return LINK.sub(
        lambda link: posixpath.normpath(posixpath.join(folder, link[0])),
        found[0],
    )


def fill(app: Any, docname: str, source: list[str]) -> None:
    """Put the figures in the place of their markers."""
    if docname != PAGE:
        return
    book = Path(app.srcdir) / "book"

    def shown(marker: re.Match[str]) -> str:
        kind, chapter = marker.groups()
        app.env.note_dependency(str(book / f"{chapter}.ipynb"))
        return f"````{{raw}} html\n{figure(book, kind, chapter)}\n````"

    source[0] = MARKER.sub(shown, source[0])


def setup(app: Any) -> dict[str, bool]:
    """Connect the step to Sphinx."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
