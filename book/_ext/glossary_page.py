"""The glossary page is made from the data that the lint holds chapters to.

The comment in ``book/back/glossary.md`` is replaced by a glossary directive
with the entries of ``book/back/glossary.yml``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_tools"))
import vocabulary

PAGE = "book/back/glossary"
MARKER = "<!-- the entries of glossary.yml -->"


def fill(app: Any, docname: str, source: list[str]) -> None:
    """Put the entries in the place of the marker."""
    if docname != PAGE:
        return
    if source[0].count(MARKER) != 1:
        raise ValueError(f"{PAGE}.md must hold {MARKER!r} once")
    file = Path(app.srcdir) / f"{PAGE}.yml"
    app.env.note_dependency(str(file))
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    entries = vocabulary.directive(vocabulary.parse(data))
    source[0] = source[0].replace(MARKER, entries)


def setup(app: Any) -> dict[str, bool]:
    """Connect the step to Sphinx."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
