"""The glossary knows the chapters' terms; the front page's code runs."""

from __future__ import annotations

import re
from pathlib import Path

import glossary_page
import lint
import nbformat
import pytest
import terms
import torch
import vocabulary


def test_glossary_is_good_data() -> None:
    data = vocabulary.glossary()
    assert len(data.terms) > 50
    assert len(data.spelling) > 20
    assert list(terms.data_complaints(data)) == []


def test_glossary_page_leaves_the_entries_to_the_data() -> None:
    page = (lint.ROOT / f"{glossary_page.PAGE}.md").read_text("utf-8")
    assert page.count(glossary_page.MARKER) == 1
    assert "{glossary}" not in page
    # Each entry is a term, its Chinese name, an indented definition.
    made = vocabulary.directive(vocabulary.glossary())
    entries = made.removeprefix("```{glossary}\n").removesuffix("\n```")
    for entry in entries.split("\n\n"):
        term, chinese, definition = entry.split("\n")
        assert re.match(r"\S.*\S$|\S$", term)
        assert re.search("[\u4e00-\u9fff]", chinese)
        assert re.match(r"  \S.*\.$", definition)


@pytest.mark.parametrize("path", terms.chapters(), ids=lambda path: path.stem)
def test_a_chapter_introduces_terms(path: Path) -> None:
    assert terms.introduced(nbformat.read(path, as_version=4))


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
