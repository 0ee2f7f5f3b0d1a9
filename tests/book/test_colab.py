"""The Colab edition stands alone, and every rule for it can fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import colab
import lint
import nbformat
import notebooks
import pictures
import pytest
from equations import Equation
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbformat.v4 import new_output as output

PLACE = "book/foundations/softmax.ipynb"
HERE = "https://github.com/alice/fork/blob/main"
RAW = "https://raw.githubusercontent.com/alice/fork/main"
COLAB = "https://colab.research.google.com/github/alice/fork/blob/colab"
BOOK = colab.Book(
    "alice/fork",
    root=lint.ROOT,
    equations={
        "eq-one": Equation(PLACE, "2.3"),
        "eq-two": Equation("book/foundations/general_form.ipynb", "4.1"),
    },
)


def convert(text: str) -> str:
    """Return a Markdown cell of the softmax chapter in the edition."""
    notebook = new_notebook(cells=[new_markdown_cell(text)])
    return colab.edition(notebook, PLACE, BOOK).cells[0].source


@pytest.fixture(scope="module")
def editions() -> Iterator[dict[Path, NotebookNode]]:
    """Return the edition of every notebook, its drawings painted."""
    with pictures.painter() as picture:
        book = colab.book(lint.ROOT, "alice/fork", "main", "colab", picture)
        yield {
            path: colab.edition(
                nbformat.read(path, as_version=4),
                path.relative_to(lint.ROOT).as_posix(),
                book,
            )
            for path in notebooks.every()
        }


def unlinked(outputs: list[NotebookNode]) -> str:
    """Return outputs without the pages that their links lead to."""
    page = re.compile(rf"{colab.PAGE.pattern}|(?<= href=\"){COLAB}[^\"]+")
    return repr(
        [
            {**o, "data": {k: page.sub("", v) for k, v in o.data.items()}}
            if "data" in o
            else o
            for o in outputs
        ]
    )


def test_links_in_stored_html_lead_to_notebooks() -> None:
    """A page of the book becomes its notebook, all else stays."""
    html = (
        '<a href="{}">DANet</a> <a href="#here">x</a> '
        '<a href="https://a.b/c.html">y</a>'
    )
    cell = new_code_cell(
        outputs=[
            output(
                "execute_result",
                data={"text/html": html.format("../reach/danet.html")},
            )
        ]
    )
    first = new_code_cell("pass")
    edition = colab.edition(new_notebook(cells=[first, cell]), PLACE, BOOK)
    assert edition.cells[1].outputs[0].data["text/html"] == html.format(
        f"{COLAB}/book/reach/danet.ipynb"
    )


def test_every_edition_stands_alone(
    editions: dict[Path, NotebookNode],
) -> None:
    for path, edition in editions.items():
        assert list(colab.faults(edition)) == [], path.name
        text = notebooks.dump(edition)
        assert len(text.encode()) <= colab.MAX_BYTES
        assert "OWNER/NAME" not in text
        assert "github.com/alice/fork" in edition.cells[0].source
        original = nbformat.read(path, as_version=4)
        for before, after in zip(original.cells, edition.cells, strict=True):
            assert before.metadata == after.metadata
            if before.cell_type == "code" and before is not original.cells[0]:
                assert before.source == after.source
                assert unlinked(before.outputs) == unlinked(after.outputs)
        labels = lint.labels(lint.Page(path, "", original, ""))
        assert len(labels) == text.count(r"\\tag{")


CONVERSIONS = {
    "equation": ("$$ a = b $$ (eq-one)", r"$$ a = b \tag{2.3} $$"),
    "no label": ("$$ a = b $$", "$$ a = b $$"),
    "here": ("[the shift rule](#eq-one) says", "the shift rule (2.3) says"),
    "no words": ("[](#eq-one)", "(2.3)"),
    "elsewhere": (
        "[the line](#eq-two)",
        f"[the line (4.1)]({COLAB}/book/foundations/general_form.ipynb)",
    ),
    "file and equation": ("[it](softmax.ipynb#eq-one)", "it (2.3)"),
    "notebook": (
        "[$A$, `f` and [1]](general_form.ipynb#the-end)",
        f"[$A$, `f` and [1]]({COLAB}/book/foundations/general_form.ipynb)",
    ),
    "page": (
        '[terms](../back/glossary.md#term-softmax "all")',
        f'[terms]({HERE}/book/back/glossary.md#term-softmax "all")',
    ),
    "site": ("[a](https://x.org/(1))", "[a](https://x.org/(1))"),
    "title": ("[above](#what-it-forgets)", "above"),
    "picture": (
        "![rows and columns](../figures/softmax-axes.svg)",
        f"![rows and columns]({RAW}/book/figures/softmax-axes.svg"
        "?sanitize=true)",
    ),
    "html": (
        '<a href="../back/glossary.md">a</a>',
        f'<a href="{HERE}/book/back/glossary.md">a</a>',
    ),
    "definition": (
        "[a][1]\n\n[1]: ../intro.md",
        f"[a][1]\n\n[1]: {HERE}/book/intro.md",
    ),
    "comments": (
        '27.8<!--= best["(a)"](1) --> dB, 72<!--given: cited --> %',
        "27.8 dB, 72 %",
    ),
    "code stays": ("`<!--= x -->` `[a](b)`", "`<!--= x -->` `[a](b)`"),
    "math stays": (r"$f[a](b)$ $\{x\}$", r"$f[a](b)$ $\{x\}$"),
    "fence stays": ("```\n[a](b)\n% c\n```", "```\n[a](b)\n% c\n```"),
    "admonition": (
        ":::{tip} Mind\n:class: big\nthe [rule](#eq-one)\n\n$$1$$\n:::",
        "> **Tip**\n> \n> Mind\n> the rule (2.3)\n> \n> $$1$$",
    ),
    "titled": (
        "```{admonition} Mind\nthe gap\n```",
        "> **Mind**\n> \n> the gap",
    ),
    "folded": (
        "```{dropdown} Answer\n{eq}`eq-one`\n```",
        "<details><summary>Answer</summary>\n\n(2.3)\n\n</details>",
    ),
    "math directive": (
        "```{math}\n:label: eq-one\na = b\n```",
        r"$$ a = b \tag{2.3} $$",
    ),
    "roles": (
        "{term}`keys <key>`, {term}`query`, {math}`x`, {doc}`a <b>`, "
        "{py:class}`~attnlib.NonLocal`, {eq}`eq-one`",
        "keys, query, $x$, a, `NonLocal`, (2.3)",
    ),
    "targets": ("(here)=\n% no\na", "a"),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_form_is_made_plain(name: str) -> None:
    before, after = CONVERSIONS[name]
    assert convert(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "[a](missing.ipynb)",
        "![a b](../figures/missing.svg)",
        "[a](#eq-none)",
        "$$ a $$ (eq-none)",
        "{cite:p}`wang2018`",
        "{ref}`without-words`",
        "```{bibliography}\n```",
    ],
)
def test_what_has_no_plain_form_is_refused(text: str) -> None:
    with pytest.raises(colab.Refused, match=rf"{PLACE}, cell 1: "):
        convert(text)


def prose(text: str) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells.append(new_markdown_cell(text))


def code(source: str, *outputs: NotebookNode) -> Callable[..., None]:
    cell = new_code_cell(source, outputs=list(outputs))
    return lambda nb: nb.cells.append(cell)


FINE = "# Fine\n\n`{x}` $\\frac{{a}}{b}$\n\n> ```\n> {{x}} [^1]\n> ```"
FAULTS = {
    "directive": prose("```{note}\na\n```"),
    "directive ": prose("text\n:::{note}\na\n:::"),
    "directive  ": prose("> ```{note}\n> a\n> ```"),
    "directive   ": prose("- :::{note}\n  a\n  :::"),
    "role": prose("see {ref}`there`"),
    "role ": prose("> see {ref}`there`"),
    "substitution": prose("Hello {{ name }}."),
    "footnote": prose("So[^1] it is."),
    "footnote ": prose("> [^1]: So."),
    "definition list": prose("Term\n: What it is."),
    "attributes": prose("A [word]{.red}."),
    "attributes ": prose("![a b](https://x.org/a.png){width=50%}"),
    "label": prose("$$ a $$ (eq-one)"),
    "label ": prose("[a](#eq-one)"),
    "label  ": prose("(here)=\n# A"),
    "comment": prose("27.8<!--= x --> dB"),
    "comment ": prose("% a comment"),
    "comment  ": prose("> % a comment"),
    "relative": prose("[a](general_form.ipynb)"),
    "relative ": prose("![a b](../figures/a.svg)"),
    "relative  ": prose("[a](#a-title)"),
    "relative   ": prose("[a][1]\n\n[1]: ../intro.md"),
    "relative    ": prose('<img alt="a b" src="a.png">'),
    "relative     ": prose('<div>\n<a href="a.md">a</a>\n</div>'),
    "relative html": code(
        "f()", output("display_data", {"text/html": '<img src="a.png">'})
    ),
    "relative markdown": code(
        "f()", output("display_data", {"text/markdown": "[a](b.md)"})
    ),
    "OWNER/NAME": code("# OWNER/NAME"),
    "output of a live": code(
        "# Live: all", output("stream", name="stdout", text="a")
    ),
    "bytes": prose("word " * 210_000),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str) -> None:
    notebook = new_notebook(cells=[new_markdown_cell(FINE)])
    assert list(colab.faults(notebook)) == []
    FAULTS[name](notebook)
    found = list(colab.faults(notebook))
    assert len(found) >= 1
    assert name.split()[0] in found[0]
