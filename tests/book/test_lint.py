"""Every rule fails on a notebook that breaks it and passes on the book's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import lint
import nbformat
import notebooks
import pytest
from nbformat import NotebookNode
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

SVG = "image/svg+xml"


def figure(kind: str = SVG) -> NotebookNode:
    return new_output("display_data", {kind: "<svg></svg>"})


def good() -> NotebookNode:
    """Return a small notebook that keeps every rule."""
    return new_notebook(
        cells=[
            new_code_cell(
                lint.FIRST_CELL,
                metadata={"tags": ["remove-cell"]},
                execution_count=1,
            ),
            new_markdown_cell(
                "# A title\n\n$$1 = 1$$ (eq-one)\n\nSo [it](#eq-one) is."
            ),
            new_code_cell(
                "# eq-one: by counting\na = 1 + 1\nassert a == 2\na",
                execution_count=2,
                outputs=[
                    new_output(
                        "execute_result",
                        {"text/plain": "2"},
                        execution_count=2,
                    )
                ],
            ),
            new_code_cell(
                "draw()",
                metadata={"mystnb": {"image": {"alt": "A grey square"}}},
                execution_count=3,
                outputs=[figure()],
            ),
        ]
    )


def page(
    notebook: NotebookNode, text: str | None = None, name: str = "x.ipynb"
) -> lint.Page:
    """Return what the lint sees after the normaliser has written it."""
    normal = notebooks.dump(notebooks.normalise(notebook))
    text = normal if text is None else text
    return lint.Page(
        Path(name), text, nbformat.reads(normal, as_version=4), normal
    )


def raw(notebook: NotebookNode) -> lint.Page:
    """Return the page of a file that was stored without the normaliser."""
    text = json.dumps(notebook)
    return lint.Page(
        Path("x.ipynb"),
        text,
        notebook,
        notebooks.dump(notebooks.normalise(notebook)),
    )


def noticed(
    rule: Callable[[lint.Page], Iterable[str]],
    tamper: Callable[[NotebookNode], None],
    notebook: NotebookNode,
    look: Callable[[NotebookNode], lint.Page],
) -> None:
    """Assert that a rule is content, then finds a fault, and lint with it."""
    assert list(rule(look(notebook))) == []
    tamper(notebook)
    complaints = list(rule(look(notebook)))
    assert complaints
    found = "\n".join(lint.lint([look(notebook)]))
    assert all(complaint in found for complaint in complaints), found


def test_the_good_notebook_is_good() -> None:
    assert lint.lint([page(good())]) == []


def source(cell: int, text: str) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells[cell].update(source=text)


def metadata(cell: int, **values: object) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells[cell].update(
        metadata=nbformat.from_dict(values)
    )


def outputs(
    cell: int, *values: NotebookNode
) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells[cell].update(outputs=list(values))


def run_twice(notebook: NotebookNode) -> None:
    notebook.cells[2].execution_count = 7


def add_prose(text: str) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells.append(new_markdown_cell(text))


def html(text: str) -> Callable[[NotebookNode], None]:
    return outputs(2, new_output("display_data", {"text/html": text}))


TAMPERED = {
    "size": (lint.size, add_prose("word " * 110_000)),
    "first cell changed": (lint.first_cell, source(0, "import attnlib")),
    "first cell shown": (lint.first_cell, metadata(0)),
    "first cell is prose": (
        lint.first_cell,
        lambda nb: nb.cells.insert(0, new_markdown_cell("A")),
    ),
    "error": (
        lint.no_errors,
        outputs(2, new_output("error", ename="E", evalue="no")),
    ),
    "stderr": (
        lint.no_stderr,
        outputs(2, new_output("stream", name="stderr", text="Warning")),
    ),
    "unknown tag": (lint.tags, metadata(2, tags=["nbval-skip"])),
    "unknown tag on prose": (lint.tags, metadata(1, tags=["hidden"])),
    "more than a tenth ignored": (
        lint.ignored,
        metadata(2, tags=["nbval-ignore-output"]),
    ),
    "path in an output": (
        lint.local_paths,
        outputs(2, new_output("stream", name="stdout", text="/home/ann/book")),
    ),
    "path in a source": (
        lint.local_paths,
        source(2, f"open({str(lint.ROOT)!r})"),
    ),
    "path in a traceback": (
        lint.local_paths,
        outputs(
            2,
            new_output(
                "error", ename="E", evalue="in /usr/lib/site-packages/x.py"
            ),
        ),
    ),
    "figure without alt text": (lint.alt_text, metadata(3)),
    "figure with a file name for alt text": (
        lint.alt_text,
        metadata(3, mystnb={"image": {"alt": "my plot.svg"}}),
    ),
    "figure with a slug for alt text": (
        lint.alt_text,
        metadata(3, mystnb={"image": {"alt": "plot-of-weights"}}),
    ),
    "picture without alt text": (
        lint.alt_text,
        add_prose("![](../figures/a.svg)"),
    ),
    "equation without a label": (
        lint.equations_labelled,
        add_prose("Two.\n\n$$2 = 2$$"),
    ),
    "equation with a foreign label": (
        lint.equations_labelled,
        add_prose("$$2 = 2$$ (two)"),
    ),
    "equation in a sentence": (
        lint.equations_labelled,
        add_prose("so $$2 = 2$$ (eq-two)"),
    ),
    "equation followed by words": (
        lint.equations_labelled,
        add_prose("$$2 = 2$$ (eq-two) holds"),
    ),
    "equation nobody asserts": (
        lint.equations_proved,
        add_prose("$$2 = 2$$ (eq-two)"),
    ),
    "equation named on the second line": (
        lint.equations_proved,
        source(2, "a = 1\n# eq-one: by counting\nassert a == 1"),
    ),
    "equation named without an assertion": (
        lint.equations_proved,
        source(2, "# eq-one: yes\n1"),
    ),
    "name without an equation": (
        lint.equations_proved,
        source(2, "# eq-one, eq-three: yes\nassert True"),
    ),
    "26 lines": (lint.cell_shape, source(2, "a = 1\n" * 25 + "a")),
    "80 columns": (lint.cell_shape, source(2, "a = " + "1" * 76)),
    "trailing semicolon": (lint.cell_shape, source(2, "2 + 2;")),
    "role": (lint.plain_markdown, add_prose("see {eq}`eq-one`")),
    "directive": (lint.plain_markdown, add_prose("```{note}\nHi\n```")),
    "colon directive": (lint.plain_markdown, add_prose(":::{note}\nHi\n:::")),
    "check behind no number": (
        lint.prose_comments_fit,
        add_prose("Some<!--= a --> dB."),
    ),
    "number from nowhere": (lint.prose_covered, add_prose("It is 27.8 dB.")),
    "other name for a term": (
        lint.vocabulary,
        add_prose("The attention matrix."),
    ),
    "American spelling": (lint.vocabulary, add_prose("It is normalized.")),
    "link to no file": (lint.links_resolve, add_prose("[a](nowhere.md)")),
    "link to no anchor": (lint.links_resolve, add_prose("[a](#nowhere)")),
    "check of no exercise": (
        lint.known,
        source(2, "# eq-one: so\nassert 1\ncheck('nix-1', 2)"),
    ),
    "nameless image in HTML": (lint.alt_text, html("<p><img src='x'>")),
    "nameless svg in HTML": (lint.alt_text, html("<svg><path/></svg>")),
    "nameless canvas in HTML": (lint.alt_text, html("<canvas></canvas>")),
    "nameless image in a frame": (
        lint.alt_text,
        html("<iframe srcdoc='&lt;img alt=map.svg&gt;'></iframe>"),
    ),
    "nameless image in prose": (
        lint.alt_text,
        add_prose("<img src='../figures/a.svg'>"),
    ),
    "heavy explorer": (
        lint.explorers,
        html("<figure class='attn-explorer'>" + "x" * 120_000),
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


@pytest.mark.parametrize("count", [None, 1, 7])
def test_executed_wants_counts_from_one_to_n(count: int | None) -> None:
    notebook = good()
    notebook.cells[2].execution_count = count
    assert list(lint.executed(raw(notebook)))


def test_normal_form_wants_what_the_normaliser_writes() -> None:
    assert list(lint.normal_form(raw(good())))
    assert list(lint.normal_form(page(good(), text=page(good()).text + "\n")))


def test_pictures_that_are_named_or_hidden_pass() -> None:
    notebook = good()
    html(
        "<img alt='a red square'><svg aria-label='a blue line'></svg>"
        "<svg><title>a blue line</title></svg><canvas hidden></canvas>"
        "<img aria-hidden='true'><script>'<img>'</script>"
    )(notebook)
    assert list(lint.alt_text(page(notebook))) == []


def test_code_spans_and_fences_are_not_equations() -> None:
    notebook = good()
    add_prose("Write `$$x$$` or\n\n```\n$$ x\n```\n")(notebook)
    assert lint.lint([page(notebook)]) == []
