"""Chinese names are the glossary's, wherever they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
import terms
from test_terms import DATA, notebook

CHINESE = {
    "| query (键) |\n|---|": "query is 查询 in the glossary, not 键",
    "| query | 键 |": "query is 查询 in the glossary, not 键",
    "| `q` | query: asks | 键 |": "query is 查询 in the glossary, not 键",
    "a *query* (键) asks": "query is 查询 in the glossary, not 键",
    "all **dot products** (熵)": "dot product is 点积 in the glossary, not 熵",
    "![a query (键)](a.svg)": "query is 查询 in the glossary, not 键",
    "**Terms:** dot product 点积 · query 键": (
        "query is 查询 in the glossary, not 键"
    ),
    "dot product 点积 · query 键": "query is 查询 in the glossary, not 键",
    "**Terms:** query 查询 · entropy": (
        "entropy is 熵 in the glossary, not nothing"
    ),
    "**Terms:** wish 愿望": "no term of the glossary: wish 愿望",
    "a wish (愿望)": "(愿望) follows no term of the glossary",
    "| wish | 愿望 |": "愿望 stands beside no term of the glossary",
    "a query 查询 asks": "write **term (查询)**",
}
RIGHT_CHINESE = [
    "**query (查询)**, *queries* (查询), a\ndot product (点积)",
    "| Dot products (点积) | query: asks | 查询 |\n|---|---|---|",
    "| letter | 中文 |\n|---|---|\n| value of a query | 查询的宽度 |",
    "**Terms:** dot product 点积 · query 查询 ·\nentropy 熵 · value 值",
    "`查询` and\n\n```\n查询\n```\n\n$\\text{查询}$, **like this (像这样)**",
    "| $y_i$ | output before $o$ (输出) |",
]


@pytest.mark.parametrize("text", CHINESE)
def test_wrong_chinese(text: str) -> None:
    assert list(terms.chinese_names(notebook(text), DATA)) == [
        f"cell 2: {CHINESE[text]}"
    ]


@pytest.mark.parametrize("text", RIGHT_CHINESE)
def test_right_chinese(text: str) -> None:
    assert list(terms.chinese_names(notebook(text), DATA)) == []


def test_wrong_chinese_on_a_page(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    # A page may name what is no term: notation does.
    page.write_text("| batch | 批 |\n\nA query (键).\n", encoding="utf-8")
    assert list(terms.page_complaints(page, DATA)) == [
        "a.md: line 3: query is 查询 in the glossary, not 键"
    ]
