"""Visits to a site of one page: what is stored, what the search shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import access
import bookext
import pytest
import visits
from browser import opened, record, served

HTML = r"""<!doctype html><title>A page</title>
<link rel="icon" href="data:,"><p style="height: 5000px">
<script>
const Search = {htmlToText: (text, anchor) => text + anchor};
</script>
<script>MEND</script>
<ul id="search-results"></ul>
<script>
const words = String.raw`So \(x_i\), \(\frac{a}{b}\), \[ c
= d \] and (e). #`;
setTimeout(() => {
  const item = document.createElement("li");
  item.textContent = Search.htmlToText(words, "f");
  document.getElementById("search-results").append(item);
}, 50);
</script>"""


@pytest.fixture
def page(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Yield the page that has searched."""
    html = HTML.replace("MEND", bookext.SEARCH)
    (tmp_path / "search.html").write_text(html)
    monkeypatch.setattr(visits, "THEME", "scheme => true")
    with (
        served(tmp_path) as home,
        opened(browser, home=home, width=390) as page,
    ):
        record(page).errors.append("of the page before")
        visits.visit(page, home, "search", "dark")
        yield page


def test_the_search_shows_no_tex(page: Any) -> None:
    found = page.inner_text("#search-results li")
    assert found == "So x_i, \u2026, \u2026 and (e). #f"
    assert record(page).errors == []


def test_a_visit_is_in_a_colour_and_turns(page: Any) -> None:
    dark = "matchMedia('(prefers-color-scheme: dark)').matches"
    assert page.evaluate(dark)
    visits.turn(page, "light")
    assert not page.evaluate(dark)


def test_a_picture_shows_the_whole_page(page: Any, tmp_path: Path) -> None:
    place = tmp_path / "not" / "yet" / "there.png"
    visits.picture(page, place)
    image = place.read_bytes()
    assert image.startswith(b"\x89PNG")
    assert int.from_bytes(image[16:20], "big") == 390
    assert int.from_bytes(image[20:24], "big") > 5000


def test_what_sphinx_writes_is_visited_too() -> None:
    assert {"book/intro", "genindex", "search"} <= set(visits.PAGES)


def test_mends_of_the_pages_html() -> None:
    html = '<th class="head"><p></p></th><th class="head"></th><th>a</th>'
    assert access.mend(html) == (
        '<td class="head"><p></p></td><td class="head"></td><th>a</th>'
    )
    entry = '<div class="citation" id="id3" role="doc-biblioentry">'
    assert access.mend(entry).endswith('id="id3" role="listitem">')
