"""The table that sorts: what is in it without a script, and its messages."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from attnlib.plots import show_table

ROWS: list[dict[str, Any]] = [
    {"name": "b<&>", "rank": 12, "kind": "local", "sums": (0.5, 1.0)},
    {"name": "a", "rank": None, "kind": "global", "sums": None},
    {"name": "c", "rank": 1.23456, "kind": "none", "sums": (-2.0, 3.0)},
]
LOOK = "Look at <rank> & sort."


class Cells(HTMLParser):
    """The cells of the table, their tags and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, dict[str, str | None], str]] = []
        self.links: list[str | None] = []
        self._open = False
        self.feed(text)

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        if tag in ("td", "th"):
            self.cells.append((tag, dict(attrs), ""))
            self._open = True
        if tag == "a":
            self.links.append(dict(attrs).get("href"))

    def handle_endtag(self, tag: str) -> None:
        self._open &= tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, attrs, text = self.cells[-1]
            self.cells[-1] = tag, attrs, text + data


def test_first_state_is_the_whole_table() -> None:
    figure = show_table(ROWS, look=LOOK, formats={"kind": str.upper})
    cells = Cells(figure.html).cells
    texts = [text for _, _, text in cells]
    assert texts[:4] == ["name", "rank", "kind", "sums"]
    assert texts[4:8] == ["b<&>", "12", "LOCAL", "(0.5, 1.0)"]
    assert texts[8:12] == ["a", "–", "GLOBAL", "–"]
    assert texts[13] == "1.235"
    scopes = [attrs.get("scope") for _, attrs, _ in cells]
    assert scopes[:5] == ["col"] * 4 + ["row"]
    assert figure._repr_html_() == figure.html
    assert repr(figure) == (f"Table, 3 rows: name, rank, kind, sums. {LOOK}")
    assert "Look at &lt;rank&gt; &amp; sort." in figure.html


def test_cells_carry_what_they_are_sorted_by() -> None:
    cells = Cells(show_table(ROWS, look=LOOK).html).cells[4:]
    keys = [attrs.get("data-key") for _, attrs, _ in cells]
    assert keys[1] == "12"
    assert keys[9] == "1.23456"
    assert (keys[3], keys[11]) == ("0.5", "-2")
    assert keys[2] is None
    wide = Cells(show_table([{"a": 1, "b": "x" * 25}], look=LOOK).html)
    assert wide.cells[-1][1]["class"] == "attn-long"
    missing = ["data-none" in attrs for _, attrs, _ in cells]
    assert [n for n, m in enumerate(missing) if m] == [5, 7]
    numbers = [attrs.get("class") for _, attrs, _ in cells]
    assert numbers[:4] == [None, "attn-number", None, "attn-number"]


def test_links_views_and_no_other_host() -> None:
    figure = show_table(
        ROWS, look=LOOK, links=["x.html", "y.html?a&b", "z.html"],
        views={'one "view"': ["rank"], "two": ["kind", "sums"]},
    )  # fmt: skip
    assert Cells(figure.html).links == ["x.html", "y.html?a&b", "z.html"]
    assert figure.html.count('type="radio"') == 2
    assert figure.html.count(" checked>") == 1
    assert "http" not in figure.html
    assert figure.html == show_table(
        ROWS, look=LOOK, links=["x.html", "y.html?a&b", "z.html"],
        views={'one "view"': ["rank"], "two": ["kind", "sums"]},
    ).html  # fmt: skip
    assert 'type="radio"' not in show_table(ROWS, look=LOOK).html


def test_refusals() -> None:
    with pytest.raises(ValueError, match="rows must not be empty"):
        show_table([], look=LOOK)
    with pytest.raises(ValueError, match="row 1 has"):
        show_table([ROWS[0], {"name": 1}], look=LOOK)
    with pytest.raises(ValueError, match="formats must be one of"):
        show_table(ROWS, look=LOOK, formats={"runk": str})
    with pytest.raises(ValueError, match="views must be one of"):
        show_table(ROWS, look=LOOK, views={"one": ["runk"]})
    with pytest.raises(ValueError, match="links must have 3 entries, got 1"):
        show_table(ROWS, look=LOOK, links=["x.html"])
