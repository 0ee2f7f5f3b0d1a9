"""Faults that look as if all were well: each is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lint
import pytest
import rules_figures
import rules_terms
from nbformat import NotebookNode
from nbformat.v4 import new_output
from test_lint import (
    add_prose,
    good,
    html,
    metadata,
    noticed,
    outputs,
    page,
    source,
)
from test_lint_chapter import (
    EXPLORED,
    EXPLORER,
    TOLD,
    book,
    chapter,
    read,
    replace,
)

__all__ = ["book"]  # a fixture

FENCED = "```{note}\nHi\n```"
MYST = {
    "in a quotation": "> " + FENCED.replace("\n", "\n> "),
    "in a list": "- " + FENCED.replace("\n", "\n  "),
    "in a numbered list": "1. " + FENCED.replace("\n", "\n   "),
    "in a quoted list": "> - :::{tip}\n>   Hi\n>   :::",
    "tildes": "~~~{note}\nHi\n~~~",
    "substitution": "Hello {{ name }}.",
    "footnote": "So[^1] it is.",
    "text of a footnote": "So.\n\n[^1]: Because.",
    "definition list": "Term\n: What it is.",
    "definition list, apart": "> Term\n>\n> : What it is.",
    "attributes": "A [word]{.red}.",
    "attributes of code": "A `word`{.python}.",
    "attributes of a picture": "![a red cross](a.png){width=50%}",
    "attributes of a block": "{.big}\nHello.",
    "role of code": "See {py:func}`f`.",
}
PLAIN = [
    "It costs \\$5, `$x` and `\\alpha`.\n\n```\n$ \\[ {{ x }}\n```",
    "So $\\frac{{a}}{b}$ and $\\{x\\}$, $x^{2}$: $[x]{y}$.",
    "| $a$ | $b$ |\n|---|---|\n| $\\alpha$ | 2 |\n\n> $a$\n> is so",
    "5<!--= a['x'][1] --> [a link](#eq-one) [*a*], f(x): so {x}",
    "- [ ] to do: this\n- that",
]
OUTLINE = "<details><summary>Outline</summary>\n\nCount.\n\n</details>"
TWICE = [new_output("display_data", {"text/html": EXPLORER * 2})]


def alt(text: str) -> Callable[[NotebookNode], None]:
    return metadata(3, mystnb={"image": {"alt": text}})


def drawing(text: str) -> Callable[[NotebookNode], None]:
    data = {"image/svg+xml": f"<svg><!-- {text} --></svg>"}
    return outputs(3, new_output("display_data", data))


def prints(text: str) -> Callable[[NotebookNode], None]:
    return outputs(2, new_output("stream", name="stdout", text=text))


TAMPERED = {
    **{
        f"MyST {n}": (lint.plain_markdown, add_prose(t))
        for n, t in MYST.items()
    },
    "nothing raised": (lint.no_errors, metadata(2, tags=["raises-exception"])),
    "nothing raised for nbval": (
        lint.no_errors,
        metadata(2, tags=["nbval-raises-exception"]),
    ),
    "picture by reference": (lint.alt_text, add_prose("![][there]")),
    "picture by its name": (lint.alt_text, add_prose("![plot.svg]")),
    "svg with an empty title": (
        lint.alt_text,
        html("<svg><title> </title><path/></svg>"),
    ),
    "the default alt text": (lint.alt_text, html("<img alt='The picture.'>")),
    "Chinese in a table": (
        lint.chinese,
        add_prose("| query (键) |\n|---|\n| 1 |"),
    ),
    "Chinese in a list of terms": (
        lint.chinese,
        add_prose("**Terms:** key 键 · query 值"),
    ),
    "other name in an alt text": (
        lint.own_words_agree,
        alt("An attention matrix in grey"),
    ),
    "other name in a comment": (
        lint.own_words_agree,
        source(2, "# eq-one: so\na = 2\nassert a == 2  # attention matrix"),
    ),
    "other name in a figure": (
        lint.own_words_agree,
        drawing("attention matrix"),
    ),
    "other name printed": (
        lint.own_words_agree,
        prints("the attention-matrix\n"),
    ),
    "wrong Chinese printed": (lint.own_words_agree, prints("query (值)\n")),
    "other name in what HTML shows": (
        lint.own_words_agree,
        html("<figcaption>An attention <b>matrix</b>: color</figcaption>"),
    ),
    "other name in an alt text in HTML": (
        lint.own_words_agree,
        html("<img alt='An attention matrix'>"),
    ),
    "other name in a picture's alt text": (
        lint.vocabulary,
        add_prose("![An attention matrix](../figures/a.svg)"),
    ),
    "other name in the alt text of a tag": (
        lint.vocabulary,
        add_prose("<img alt='An attention matrix' src='a.png'>"),
    ),
}
IN_CHAPTER = {
    "no outline": (lint.outlines, replace(TOLD, OUTLINE, "")),
    "empty outline": (lint.outlines, replace(TOLD, "Count.", "")),
    "outline without summary": (
        lint.outlines,
        replace(TOLD, "<summary>Outline</summary>", ""),
    ),
    "outline that does not end": (
        lint.outlines,
        replace(TOLD, "</details>", ""),
    ),
    "two explorers in one output": (
        lint.explorers,
        lambda nb: nb.cells[EXPLORED].update(outputs=TWICE),
    ),
    "empty look": (
        lint.explorers,
        lambda nb: nb.cells[EXPLORED].update(
            outputs=[
                new_output(
                    "display_data",
                    {"text/html": EXPLORER.replace("Look at the edge.", " ")},
                )
            ]
        ),
    ),
}


@pytest.mark.parametrize(
    ("rule", "tamper"), TAMPERED.values(), ids=TAMPERED.keys()
)
def test_rule_fails_on_a_tampered_copy(
    rule: Callable[[lint.Page], list[str]],
    tamper: Callable[[NotebookNode], None],
) -> None:
    noticed(rule, tamper, good(), page)


@pytest.mark.parametrize(
    ("rule", "tamper"), IN_CHAPTER.values(), ids=IN_CHAPTER.keys()
)
def test_rule_fails_on_a_tampered_chapter(
    book: Path,
    rule: Callable[[lint.Page], list[str]],
    tamper: Callable[[NotebookNode], None],
) -> None:
    noticed(rule, tamper, chapter(), lambda nb: read(book, nb, "reach"))


@pytest.mark.parametrize("text", PLAIN)
def test_plain_markdown_and_closed_formulas_pass(text: str) -> None:
    notebook = good()
    add_prose(text)(notebook)
    assert list(lint.plain_markdown(page(notebook))) == []
    assert list(lint.formulas_closed(page(notebook))) == []


def test_a_cell_that_raises_may_say_so() -> None:
    notebook = good()
    metadata(2, tags=["raises-exception"])(notebook)
    outputs(2, new_output("error", ename="E", evalue="no"))(notebook)
    assert list(lint.no_errors(page(notebook))) == []


def test_drawings_have_a_title(tmp_path: Path) -> None:
    notebook = good()
    add_prose("![a red cross](a.svg)")(notebook)
    seen = page(notebook)
    seen = lint.Page(tmp_path / "x.ipynb", "", seen.notebook, "")
    for inside, found in (
        ("<title>A red cross</title>", 0),
        ("<title></title>", 1),
        ("<title> \n</title>", 1),
        ("<title>cross.svg</title>", 1),
        ("", 1),
    ):
        (tmp_path / "a.svg").write_text(f"<svg>{inside}<path/></svg>")
        assert len(list(lint.drawings_named(seen))) == found, inside
    assert list(rules_figures.all_named()) == []


def test_source_of_the_library_may_speak_its_own_language() -> None:
    notebook = good()
    prints("    def color(x):\n        return x\n")(notebook)
    assert list(lint.own_words_agree(page(notebook))) == []
    prints("the color of x\n")(notebook)
    assert list(lint.own_words_agree(page(notebook))) == [
        "cell 3: output: 'color': the book says 'colour*'"
    ]


def test_hints_and_drawings_are_read(tmp_path: Path) -> None:
    data = rules_terms.glossary()
    file = tmp_path / "x.py"
    file.write_text('def f(a):\n    return f"the attention matrix of {a}"\n')
    (found,) = rules_terms.hints(file, data)
    assert found.startswith("x.py: line 2: 'attention matrix'")
    file = tmp_path / "x.svg"
    file.write_text("<svg><title>color</title><text>query (值)</text></svg>")
    assert len(list(rules_terms.drawing(file, data))) == 2
