"""The vocabulary: every rule finds what breaks it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import glossary_page
import pytest
import terms
import vocabulary
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

DATA = vocabulary.parse(
    {
        "spelling": {"color*": "colour*", "centering": "centring"},
        "terms": [
            {
                "term": "dot product",
                "chinese": "点积",
                "definition": "A sum of products.",
                "forbidden": ["inner product"],
            },
            {
                "term": "entropy",
                "chinese": "熵",
                "definition": "How spread out a row is.",
            },
            {
                "term": "patch",
                "chinese": "图像块",
                "definition": "A small square.",
            },
            {
                "term": "query",
                "chinese": "查询",
                "definition": "What asks.",
                "forbidden": [{"form": "question vector", "reason": "long"}],
            },
            {
                "term": "value",
                "chinese": "值",
                "definition": "What is handed over.",
                "everyday": True,
            },
        ],
    }
)


def notebook(*texts: str) -> NotebookNode:
    cells = [new_markdown_cell(text) for text in texts]
    return new_notebook(cells=[new_code_cell("1"), *cells])


def changed(n: int, **values: str) -> vocabulary.Glossary:
    entries = [dict(vars(t)) for t in DATA.terms]
    entries[n].update(values)
    entries = [{**e, "forbidden": list(e["forbidden"])} for e in entries]
    for entry in entries:
        entry["forbidden"] = [
            {"form": form, "reason": why} for form, why in entry["forbidden"]
        ]
    return vocabulary.parse({"terms": entries, "spelling": DATA.spelling})


def test_the_data_of_these_tests_is_good() -> None:
    assert list(terms.data_complaints(DATA)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((0, {"term": "query"}), "two entries"),
        ((0, {"term": "zero"}), "not in alphabetical order"),
        ((1, {"chinese": "entropy"}), "no Chinese"),
        ((1, {"definition": ""}), "no definition"),
        ((1, {"definition": "An inner product."}), "its definition says"),
    ],
)
def test_data(change: tuple[int, dict[str, str]], said: str) -> None:
    found = list(terms.data_complaints(changed(change[0], **change[1])))
    assert any(said in text for text in found), found


REFUSED = {
    "The inner product": "'inner product': the book says 'dot product'",
    "Inner\nproducts are": "'Inner products': the book says 'dot product'",
    "a question vector": ("'question vector': the book says 'query' (long)"),
    "Colored": "'Colored': the book says 'colour*'",
    "an inner-product": "'inner-product': the book says 'dot product'",
    "an *inner* product": "'inner product': the book says 'dot product'",
    "_inner_ **product**": "'inner product': the book says 'dot product'",
    "inner\u2011product": "'inner\u2011product': the book says 'dot product'",
    "![an inner product](a.svg)": (
        "'inner product': the book says 'dot product'"
    ),
    "<img alt='inner product'>": (
        "'inner product': the book says 'dot product'"
    ),
    '<svg aria-label="inner product">': (
        "'inner product': the book says 'dot product'"
    ),
    "[an inner product](a.ipynb)": (
        "'inner product': the book says 'dot product'"
    ),
    "| here |\n|---|\n| inner product |": (
        "'inner product': the book says 'dot product'"
    ),
}
ALLOWED = [
    "`inner product`\n\n```\ncolor\n```",
    'He wrote “by the inner product”, or "inner\nproduct".',
    "[The inner product](https://arxiv.org/abs/1)",
    "![a b](color.svg) <img src='color.svg'> $color$",
    "| elsewhere | here |\n|---|---|\n| inner product | dot product |",
    "| the paper says | at |\n|:--|---|\n| inner product | 3 |",
    "dot products, colours, centred, discolor",
]


@pytest.mark.parametrize("text", REFUSED)
def test_refused_names(text: str) -> None:
    assert list(terms.forbidden_names(notebook(text), DATA)) == [
        f"cell 2: {REFUSED[text]}"
    ]


@pytest.mark.parametrize("text", ALLOWED)
def test_code_quotations_and_translations_are_free(text: str) -> None:
    assert list(terms.forbidden_names(notebook(text), DATA)) == []


def test_refused_names_on_a_page(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("Fine.\n\nAn inner product.\n", encoding="utf-8")
    assert list(terms.page_complaints(page, DATA)) == [
        "a.md: line 3: 'inner product': the book says 'dot product'"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**query (键)**", "query is 查询 in the glossary, not 键"),
        ("**wish (愿望)**", "wish (愿望) is not in the glossary"),
        ("**query (查询)** **queries (查询)**", "was introduced in cell 2"),
        ("**query** (查询)", "write **query (查询)**"),
    ],
)
def test_introductions_agree(text: str, said: str) -> None:
    (found,) = terms.introductions_agree(notebook(text), DATA)
    assert said in found


@pytest.mark.parametrize(
    "text",
    [
        "**Queries (查询)** and **Dot\nproducts (点积)**",
        "**patches (图像块)**, then query (查询) again",
        "`**wish (愿望)**`",
    ],
)
def test_plural_and_capital_are_free(text: str) -> None:
    assert list(terms.introductions_agree(notebook(text), DATA)) == []


def test_a_hyphen_makes_no_other_word() -> None:
    data = vocabulary.parse(
        {
            "terms": [
                {
                    "term": "self-attention",
                    "chinese": "自注意力",
                    "definition": "A.",
                    "forbidden": ["self attention", "intra-attention"],
                }
            ]
        }
    )
    for text, count in (
        ("Self-attention, self-*attention*, self\u2011attention", 0),
        ("self attention", 1),
        ("intra attention", 1),
    ):
        found = list(vocabulary.forbidden(text, data))
        assert len(found) == count, text


def test_no_use_before_the_introduction() -> None:
    chapter = notebook("Queries ask.", "A **query (查询)**.")
    assert list(terms.not_before(chapter, DATA)) == [
        "cell 2: uses 'query' before cell 3 introduces it"
    ]
    chapter = notebook(
        "The **dot product (点积)** of a query and a **query (查询)**."
    )
    assert len(list(terms.not_before(chapter, DATA))) == 1


FREE = [
    "# A query\n\n*Queries and entropies*\n\n## Query",
    "**You need** [queries](a.ipynb) and\na query. **Afterwards** entropy.",
    "See [the query](a.ipynb), `query`, $query$ and\n\n$$ query $$ (eq-query)",
    "| query |\n|---|\n| query |",
    "![a query](a.svg) <!--= query --> value for values",
]


@pytest.mark.parametrize("text", FREE)
def test_titles_links_tables_and_code_are_no_uses(text: str) -> None:
    chapter = notebook(text, "**query (查询)**, **value (值)**")
    assert list(terms.not_before(chapter, DATA)) == []


def test_each_term_is_introduced_where_the_book_first_uses_it() -> None:
    first = notebook("**Dot products (点积)**, an entropy, a value.")
    second = notebook("**Entropy (熵)**, **query (查询)**, **patch (图像块)**")
    third = notebook("Queries, and **values (值)**.")
    book = [("a", first), ("b", second), ("c", third)]
    assert list(terms.book_complaints(book, DATA)) == [
        "a: cell 2: first use of 'entropy' in the book, not introduced"
    ]
    assert list(terms.book_complaints(book[:2], DATA))[1:] == [
        "glossary: value: no chapter introduces it"
    ]


def test_longer_terms_hide_shorter_ones() -> None:
    data = vocabulary.parse(
        {
            "terms": [
                {"term": "blur", "chinese": "糊", "definition": "A."},
                {"term": "soft blur", "chinese": "软", "definition": "B."},
            ]
        }
    )
    found = [t.term for _, t in vocabulary.uses("Soft blurs, blur", data)]
    assert found == ["soft blur", "blur"]


def fill(tmp_path: Path, page: str) -> str:
    """Return the page that the extension makes of a marker and two terms."""
    (tmp_path / "book" / "back").mkdir(parents=True)
    (tmp_path / "book/back/glossary.yml").write_text(
        "terms:\n"
        "- {term: key, chinese: 键, definition: What is found.}\n"
        "- {term: query, chinese: 查询, definition: What asks.}\n",
        encoding="utf-8",
    )
    noted: list[str] = []
    environment = SimpleNamespace(note_dependency=noted.append)
    source = [page]
    glossary_page.fill(
        SimpleNamespace(srcdir=tmp_path, env=environment),
        "book/back/glossary",
        source,
    )
    assert noted == [str(tmp_path / "book/back/glossary.yml")]
    return source[0]


def test_the_page_is_made_from_the_data(tmp_path: Path) -> None:
    assert fill(tmp_path, f"# A\n\n{glossary_page.MARKER}\n") == (
        "# A\n\n```{glossary}\nkey\n键\n  What is found.\n\n"
        "query\n查询\n  What asks.\n```\n"
    )


def test_a_page_without_the_marker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must hold"):
        fill(tmp_path, "# A\n")


def test_other_pages_are_left_alone() -> None:
    source = ["# B"]
    glossary_page.fill(SimpleNamespace(), "book/intro", source)
    assert source == ["# B"]
