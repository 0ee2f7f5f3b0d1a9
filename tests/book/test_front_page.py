"""The front page shows what chapters have stored, and says what is so."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import front_page
import lint
import nbformat
import prose
import pytest
from browser import record
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbformat.v4 import new_output as output

from attnlib.plots import show_table

BOOK = lint.ROOT / "book"
SOURCE = (lint.ROOT / f"{front_page.PAGE}.md").read_text(encoding="utf-8")
CODE = f"""\
import json
from attnlib import compare

with open({str(lint.ROOT / "tests" / "map_rows.json")!r}) as file:
    table = [compare.Row(**row) for row in json.load(file).values()]
everybody = [row.macs for row in table if row.pairs == 1]"""


def filled(docname: str = front_page.PAGE, text: str = SOURCE) -> str:
    env = SimpleNamespace(note_dependency=lambda _: None)
    source = [text]
    front_page.fill(
        SimpleNamespace(srcdir=str(lint.ROOT), env=env), docname, source
    )
    return source[0]


def test_figures_are_the_stored_ones() -> None:
    text = filled()
    assert "<!-- explorer of" not in text
    assert "<!-- table of" not in text
    for kind, chapter in front_page.MARKER.findall(SOURCE):
        stored = (BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8")
        shown = front_page.figure(BOOK, kind, chapter)
        assert shown in text
        picture = re.search(r"data:image/png;base64,[\w+/=]+", shown)
        assert not picture or picture[0] in stored
    # The explorer comes first.
    assert 0 < text.index("attn-explorer") < text.index("attn-sortable")
    assert filled("book/back/notation") == SOURCE


def test_links_of_the_table_lead_to_chapters() -> None:
    found = front_page.LINK.findall(
        front_page.figure(BOOK, "table", "compare/map")
    )
    assert len(found) == 15
    for link in found:
        assert posixpath.splitext(link)[1] == ".html"
        assert (BOOK / link).with_suffix(".ipynb").exists(), link


def test_a_chapter_with_none_or_two_is_refused(tmp_path: Path) -> None:
    table = show_table([{"a": 1}], look="One.", links=["../cost/x.html#y"])
    shown = {"text/html": table.html}
    (tmp_path / "part").mkdir()
    for count in (0, 1, 2):
        cells = [
            new_code_cell(outputs=[output("execute_result", data)])
            for data in [{"text/plain": "1"}, *[shown] * count]
        ]
        nbformat.write(new_notebook(cells=cells), tmp_path / "part/a.ipynb")
        if count == 1:
            html = front_page.figure(tmp_path, "table", "part/a")
            assert 'href="cost/x.html#y"' in html
        else:
            with pytest.raises(ValueError, match=f"has {count} figures"):
                front_page.figure(tmp_path, "table", "part/a")


def checked(folder: Path, text: str) -> list[prose.Verdict]:
    """Evaluate the comments of a text over the rows of the map."""
    notebook = new_notebook(
        cells=[new_code_cell(CODE), new_markdown_cell(text)]
    )
    assert list(prose.complaints(notebook)) == []
    nbformat.write(notebook, folder / "a.ipynb")
    executed, error = prose.execute(folder / "a.ipynb")
    assert error is None
    return prose.verdicts(executed)


def test_numbers(tmp_path: Path) -> None:
    text = re.sub(front_page.MARKER, "", SOURCE)
    *found, wrong = checked(tmp_path, f"{text}\n\n16<!--= len(table) -->\n")
    assert len(found) == 3
    assert all(v.ok for v in found), found
    assert not wrong.ok


def test_chapters_have_their_titles_and_numbers() -> None:
    rows = re.findall(r"^\| (\d+) \[(.+)\]\((.+)\) \|", SOURCE, re.MULTILINE)
    toc = (lint.ROOT / "_toc.yml").read_text(encoding="utf-8")
    files = re.findall(r"file: book/(?!solutions|back)(\S+)", toc)
    assert [f"{file}.ipynb" for file in files] == [row[2] for row in rows]
    for place, (number, title, file) in enumerate(rows, 1):
        assert int(number) == place
        cells = nbformat.read(BOOK / file, as_version=4).cells
        text = next(c.source for c in cells if c.cell_type == "markdown")
        assert text.split("\n", 1)[0] == f"# {title}"


@pytest.mark.pages
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_explorer_answers_in_the_first_screenful(
    open_page: Callable[..., Any], scheme: str
) -> None:
    page = open_page(front_page.PAGE, width=1280, height=800, scheme=scheme)
    box = page.locator(".attn-controls").bounding_box()
    assert box["y"] + box["height"] <= 800
    before = page.locator(".attn-result").inner_text()
    picture = page.locator(".attn-picture").bounding_box()
    page.mouse.move(picture["x"] + 60, picture["y"] + picture["height"] - 60)
    assert page.locator(".attn-result").inner_text() != before
    page.get_by_role("button", name="rank").click()
    assert page.locator("tbody th").first.inner_text() == "gcnet"
    page.get_by_role("link", name="gcnet", exact=True).click()
    assert page.url.endswith("book/cost/gcnet.html")
    assert not record(page).errors
    assert not record(page).outside
