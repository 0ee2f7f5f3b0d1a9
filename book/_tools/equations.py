r"""Numbers of equations: (2.3) in the Colab edition is (2.3) on the page.

Sphinx counts labelled equations in the order of ``_toc.yml``: by chapter where
the part is numbered, in one row over all other pages.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

FENCED = re.compile(r"^(`{3,}|~{3,})(?!\{).*?^\1[ \t]*$", re.M | re.S)
LABEL = re.compile(
    r"\$\$[ \t]*\(([\w:.-]+)\)|^`{3,}\{math\}.*?^:label: *(\S+)", re.M | re.S
)


@dataclass(frozen=True)
class Equation:
    """Where a labelled equation is, and its number there."""

    file: str
    number: str


def documents(root: Path) -> Iterator[tuple[Path, int | None]]:
    """Yield the pages of the table of contents: (file, chapter or None)."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    chapter = 0

    def pages(
        entry: dict[str, Any], number: int | None
    ) -> Iterator[tuple[Path, int | None]]:
        for suffix in (".ipynb", ".md"):
            file = root / (entry["file"] + suffix)
            if file.exists():
                yield file, number
        for below in entry.get("sections", []):
            yield from pages(below, number)

    yield from pages({"file": toc["root"]}, None)
    for part in toc.get("parts", [toc]):
        for entry in part.get("chapters", []):
            if part.get("numbered"):
                chapter += 1
            yield from pages(entry, chapter if part.get("numbered") else None)


def labels(file: Path) -> list[str]:
    """Return the labels of the equations of a page, in reading order."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n\n".join(c.source for c in cells if c.cell_type != "code")
    return [a or b for a, b in LABEL.findall(FENCED.sub("", text))]


def numbered(root: Path) -> dict[str, Equation]:
    """Return every labelled equation of the book with its number."""
    count: Counter[int | None] = Counter()
    found: dict[str, Equation] = {}
    for file, chapter in documents(root):
        for label in labels(file):
            count[chapter] += 1
            before = "" if chapter is None else f"{chapter}."
            place = file.relative_to(root).as_posix()
            found[label] = Equation(place, f"{before}{count[chapter]}")
    return found
