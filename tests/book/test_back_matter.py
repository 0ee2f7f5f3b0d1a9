"""The glossary knows the chapters' terms; the front page's code runs."""

from __future__ import annotations

import re
from pathlib import Path

import lint
import nbformat
import pytest
import torch

BACK = lint.ROOT / "book" / "back"
CHAPTERS = sorted((lint.ROOT / "book").glob("*/*.ipynb"))
TERM = re.compile(r"\*\*([A-Za-z][^*()]*?) \(([\u4e00-\u9fff][^)]*)\)\*\*")
ENTRY = re.compile(r"^(\S.*)\n(.*[\u4e00-\u9fff].*)\n  \S", re.MULTILINE)
GLOSSARY = ENTRY.findall((BACK / "glossary.md").read_text(encoding="utf-8"))


def singular(term: str) -> str:
    """Return a term as the glossary lists it: lower case, no plural s."""
    return re.sub(r"(?<=[a-rt-z])s$", "", term.lower())


def test_glossary_is_in_order_and_names_each_term_once() -> None:
    terms = [term.lower() for term, _ in GLOSSARY]
    assert len(terms) > 30
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_terms_of_a_chapter_are_in_the_glossary(path: Path) -> None:
    known = {singular(term): chinese for term, chinese in GLOSSARY}
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(
        c.source for c in notebook.cells if c.cell_type == "markdown"
    )
    terms = [(singular(term), chinese) for term, chinese in TERM.findall(text)]
    assert terms, "a chapter introduces no term"
    assert not [pair for pair in terms if known.get(pair[0]) != pair[1]]


def test_every_block_of_the_map_has_a_work() -> None:
    works = re.findall(
        r"@\w+\{(\w+),",
        (lint.ROOT / "book/references.bib").read_text(encoding="utf-8"),
    )
    assert len(works) == len(set(works))
    assert len(works) >= 9 + 13, (
        "nine works of the foundations and one a block to come"
    )


@pytest.mark.parametrize("name", ["README.md", "book/intro.md"])
def test_code_on_the_front_page_runs(name: str) -> None:
    text = (lint.ROOT / name).read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(code) == 1
    values: dict[str, torch.Tensor] = {}
    exec(code[0], values)
    # Untrained, the block changes nothing.
    torch.testing.assert_close(values["y"], values["x"])
    shapes = re.findall(r"^(\w) = .*# \(([\d, ]+)\)", code[0], re.MULTILINE)
    for letter, shape in shapes:
        assert str(tuple(values[letter].shape)) == f"({shape})"
