"""A table that the reader sorts and filters: one HTML figure, no kernel.

Its first state is the whole table in the order given. Where scripts do not
run it stays that: a table.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from attnlib._checks import check_choice
from attnlib.plots.explorer import _code

MISSING = "–"
LONG = 24  # a cell of more letters breaks its lines


@dataclass(frozen=True)
class Table:
    """A table for Jupyter: HTML, and what it holds in words."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def _key(value: Any) -> float | None:
    """Return the number by which a cell is sorted, None for words."""
    if isinstance(value, tuple) and value:
        value = value[0]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number else None


def _shown(value: Any, form: Callable[[Any], str] | None) -> str:
    if value is None:
        return MISSING
    if form is not None:
        return form(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(value: Any, text: str, link: str, first: bool, number: bool) -> str:
    text = html.escape(text)
    if link:
        text = f'<a href="{html.escape(link)}">{text}</a>'
    if first:
        return f'<th scope="row">{text}</th>'
    kind = ' class="attn-number"' if number else ""
    if not number and len(text) > LONG:
        kind = ' class="attn-long"'
    if value is None:
        return f'<td{kind} data-none="">{text}</td>'
    key = _key(value)
    data = "" if key is None else f' data-key="{key:.6g}"'
    return f"<td{kind}{data}>{text}</td>"


def show_table(
    rows: Sequence[Mapping[str, Any]],
    *,
    look: str,
    formats: Mapping[str, Callable[[Any], str]] | None = None,
    views: Mapping[str, Sequence[str]] | None = None,
    links: Sequence[str] | None = None,
) -> Table:
    """Return a table whose columns sort and whose rows filter on the page.

    A click, a tap or the Enter key on a column's name sorts by it, once more
    turns the order round. Rows stay that hold every word of the filter.

    Args:
        rows: one mapping a row, column to value, all with the same columns;
            the first column names the row. Numbers sort by size, a tuple by
            its first number, words by letter; None is shown as a dash and
            comes last.
        look: the sentence that says what to look for.
        formats: column to a function that writes its values; without one, at
            most four digits.
        views: name to columns; the reader picks one, the first is shown. The
            first column is in all. Without scripts all columns are shown.
        links: one address a row, put on its name, for the built page.

    Shape:
        - Output: an object that Jupyter shows

    Raises:
        ValueError: no rows, rows of different columns, an unknown column in
            ``formats`` or ``views``, links of another length.
    """
    if not rows:
        raise ValueError("rows must not be empty")
    columns = list(rows[0])
    for n, row in enumerate(rows):
        if list(row) != columns:
            raise ValueError(
                f"rows must have the columns of the first, {columns}; "
                f"row {n} has {list(row)}"
            )
    formats, views = formats or {}, views or {}
    for name in formats:
        check_choice("formats", name, columns)
    for names in views.values():
        for name in names:
            check_choice("views", name, columns)
    if links is not None and len(links) != len(rows):
        raise ValueError(
            f"links must have {len(rows)} entries, got {len(links)}"
        )
    numbers = {
        c: any(_key(row[c]) is not None for row in rows) for c in columns
    }
    head = "".join(
        f'<th scope="col"{" class=attn-number" if numbers[c] else ""}>'
        f"{html.escape(c)}</th>"
        for c in columns
    )
    lines = []
    for n, row in enumerate(rows):
        cells = (
            _cell(
                row[c],
                _shown(row[c], formats.get(c)),
                links[n] if links and c == columns[0] else "",
                c == columns[0],
                numbers[c],
            )
            for c in columns
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    text = f"Table, {len(rows)} rows: {', '.join(columns)}. {look}"
    return Table(_figure(head, "\n".join(lines), columns, views, look), text)


def _figure(
    head: str, body: str, columns: list[str],
    views: Mapping[str, Sequence[str]], look: str,
) -> str:  # fmt: skip
    """Put the table between its tools and its script."""
    data = {
        name: [columns.index(c) for c in names]
        for name, names in views.items()
    }
    # Radio buttons of two tables on a page must not share a name.
    group = "attn-" + sha256((head + body).encode()).hexdigest()[:8]
    radios = "".join(
        f'<label><input type="radio" name="{group}" '
        f'value="{html.escape(name)}"{"" if n else " checked"}>'
        f"{html.escape(name)}</label>"
        for n, name in enumerate(views)
    )
    if radios:
        radios = f"<fieldset><legend>Columns</legend>{radios}</fieldset>"
    count = body.count("<tr>")
    return f"""\
<figure class="attn-sortable">
<style>{_code("table.css")}</style>
<figcaption>{html.escape(look)}</figcaption>
<div class="attn-tools" hidden data-views="{html.escape(json.dumps(data))}">\
<label>Filter <input type="search"></label>{radios}</div>
<p class="attn-count" role="status">{count} of {count} rows.</p>
<div class="attn-scroll" role="region" aria-label="The table" tabindex="0">
<table><thead><tr>{head}</tr></thead>
<tbody>{body}</tbody></table></div>
<script>{_code("table.js")}</script>
</figure>"""
