"""Links lead to files that git has, and to anchors that they have."""

from __future__ import annotations

import subprocess
from pathlib import Path

import links
import lint
import nbformat
import pytest
import terms
from nbformat.v4 import new_markdown_cell, new_notebook

TEXT = "# A title\n\n## Two *words*, and `code`\n\n$$ 1 $$ (eq-x-one)\n\n"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Return a folder with a page and a notebook that can be linked to."""
    (tmp_path / "part").mkdir()
    (tmp_path / "page.md").write_text(TEXT + "(here)=\n", encoding="utf-8")
    cells = [new_markdown_cell(TEXT), new_markdown_cell('<p id="there">')]
    nbformat.write(new_notebook(cells=cells), tmp_path / "part" / "a.ipynb")
    return tmp_path


GOOD = [
    "[a](../page.md), [b](a.ipynb), [c](../part)",
    "[a](../page.md#a-title), [b](a.ipynb#two-words-and-code)",
    "[a](../page.md#here), [b](a.ipynb#eq-x-one), [c](a.ipynb#there)",
    "[a](#a-title), [b](#eq-x-one)",
    "[an equation of another chapter](#eq-softmax-shift)",
    "[a](https://example.org/x#y), <a href='mailto:a@b.c'>",
    "`[a](nowhere.md)`\n\n```\n[a](nowhere.md)\n```",
    "![a red cross](../page.md)",
    "[a][one], [Two][] and ![a b][one]\n\n[one]: ../page.md\n[two]: a.ipynb",
    "$f[a](b)$ $A[i][j]$ 5<!--= a[0][1] -->",
]
BAD = {
    "[a](../pages.md)": "link to ../pages.md: no such file",
    "[a](page.md)": "link to page.md: no such file",
    "![a red cross](a.svg)": "link to a.svg: no such file",
    "<a href='a.html'>": "link to a.html: no such file",
    "<img alt='x' src=\"a.png\">": "link to a.png: no such file",
    "[a](../page.md#title)": "link to ../page.md#title: no such anchor",
    "[a](a.ipynb#eq-x-two)": "link to a.ipynb#eq-x-two: no such anchor",
    "[a](#eq-x-two)": "link to #eq-x-two: no such anchor",
    "[a][1]\n\n[1]: no.md": "link to no.md: no such file",
    "> - [1]: <no.md>\n": "link to no.md: no such file",
    "[a][one]": "link [a][one]: no such definition",
    "![a b][]": "link [a b][]: no such definition",
    "[![a red cross](../page.md)](no.md)": "link to no.md: no such file",
    "[a](<no.md>)": "link to no.md: no such file",
    "<a href=no.md>": "link to no.md: no such file",
    "[a](../page.md#eq-x-one) [b](#b)": "link to #b: no such anchor",
}


@pytest.mark.parametrize("text", GOOD)
def test_good_links(book: Path, text: str) -> None:
    file = book / "part" / "new.ipynb"
    assert list(links.complaints(file, text, TEXT + text)) == []


@pytest.mark.parametrize("text", BAD)
def test_links_that_lead_nowhere(book: Path, text: str) -> None:
    file = book / "part" / "new.ipynb"
    assert list(links.complaints(file, text, TEXT + text)) == [BAD[text]]


def test_links_of_a_page(book: Path) -> None:
    (book / "other.md").write_text("[a](page.md), [b](no.md)")
    assert list(links.page_complaints(book / "other.md")) == [
        "other.md: link to no.md: no such file"
    ]


def git(folder: Path, *words: str) -> None:
    command = ["git", "-C", str(folder), *words]
    subprocess.run(command, check=True, capture_output=True)


def test_only_what_git_tracks_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "ROOT", tmp_path)
    for name in ("_toc.yml", "old.md", "new.md"):
        (tmp_path / name).touch()
    links.tracked.cache_clear()
    try:
        # An unpacked archive: what is there counts.
        assert links.tracked() is None
        assert links.exists(tmp_path / "new.md")
        git(tmp_path, "init")
        git(tmp_path, "add", "_toc.yml", "old.md")
        links.tracked.cache_clear()
        assert links.exists(tmp_path / "old.md")
        text = "[a](old.md) [b](new.md)"
        (found,) = links.complaints(tmp_path / "x.md", text, text)
        assert found == "link to new.md: no such file that git tracks"
        # A repository that git cannot read is no archive.
        (tmp_path / ".git" / "HEAD").write_text("broken")
        links.tracked.cache_clear()
        with pytest.raises(subprocess.CalledProcessError):
            links.tracked()
    finally:
        links.tracked.cache_clear()


def test_a_file_that_git_ignores_is_no_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = frozenset({"_toc.yml", "book/intro.md"})
    monkeypatch.setattr(links, "tracked", lambda: known)
    assert links.exists(lint.ROOT / "book" / "intro.md")
    assert links.exists(lint.ROOT / "book")
    assert not links.exists(lint.ROOT / "README.md")
    # Outside git, what is there counts.
    monkeypatch.setattr(links, "tracked", lambda: None)
    assert links.exists(lint.ROOT / "README.md")


@pytest.mark.parametrize("path", terms.pages(), ids=lambda path: path.name)
def test_pages_of_the_book(path: Path) -> None:
    assert list(links.page_complaints(path)) == []
