"""Small mends of the pages' HTML for those who read with a screen reader.

1. An empty corner of a table is a cell, not a heading without words.
2. The bibliography is a list: docutils puts the role of a book's entry into
   it, which ARIA has withdrawn.
"""

from __future__ import annotations

import re
from typing import Any

CORNER = re.compile(r"<th\b([^>]*)>(\s*(?:<p>\s*</p>)?\s*)</th>")
ENTRY = re.compile(r'(<div class="citation"[^>]*) role="doc-biblioentry"')


def mend(html: str) -> str:
    """Return a page's body without the two faults."""
    html = CORNER.sub(r"<td\1>\2</td>", html)
    return ENTRY.sub(r'\1 role="listitem"', html)


def mend_page(
    app: Any, pagename: str, templatename: str, context: Any, doctree: Any
) -> None:
    """Mend the body of one page."""
    if "body" in context:
        context["body"] = mend(context["body"])


def setup(app: Any) -> dict[str, bool]:
    """Connect the step to Sphinx."""
    app.connect("html-page-context", mend_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
