"""Formulas that are not closed, and cells that assert nothing, are found."""

from __future__ import annotations

from pathlib import Path

import lint
import pytest
import rules_equations
from nbformat.v4 import new_code_cell
from test_lint import add_prose, good, page

MATH = {
    "align": r"\begin{align*} a &= b \end{align*}",
    "equation": "> \\begin{equation}\na = b\n\\end{equation}",
    "bracket": r"\[ a = b \]",
    "paren": r"So \( a = b \).",
    "unclosed": "So $a = b.\n\nAnd then",
    "unclosed in a table": "| $a |\n|---|\n| $b$ |",
    "closed in the next cell": "| $a | b$ |\n|---|---|\n| 1 | 2 |",
    "unclosed display": "$$ a = b\n\nAnd then.",
    "command": r"So \alpha is small.",
    "one dollar too many": "So $a$$ it is.",
}
TAMPERED = {n: (lint.formulas_closed, add_prose(t)) for n, t in MATH.items()}


@pytest.mark.parametrize("text", MATH.values(), ids=MATH.keys())
def test_formulas_outside_of_dollars(text: str) -> None:
    notebook = good()
    assert list(lint.formulas_closed(page(notebook))) == []
    add_prose(text)(notebook)
    assert list(lint.formulas_closed(page(notebook)))


def test_formulas_of_a_page(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("# A\n\nSo $a$ and\n$b.\n", encoding="utf-8")
    assert list(rules_equations.page_complaints(file)) == [
        "a.md: line 4: formula that is not closed: $b."
    ]


TRUE = [
    "assert a == 2",
    "close(a, 2.0)",
    "torch.testing.assert_close(a, 2)",
    "assert_close(actual=a, expected=2)",
    "assert all(a == n for n in (2, 2))",
    "assert (a == 2).all() and 1",
    "assert torch.equal(a, b)",
    "assert a.equal(b)",
    "assert a != a  # NaN",
    "assert not a",
    "for n in b:\n    assert a == n",
    "def f():\n    assert a == 2\n\n\nf()",
    "with torch.no_grad():\n    assert a == 2",
    "_ = 1\n[close(n, 2) for n in b]",
    "near(a, b)",
]
IDLE = [
    "assert True",
    "assert 1 == 1",
    "assert 'a' and 1",
    "assert a == a",
    "assert (a == a).all()",
    "assert all(n == n for n in b)",
    "assert a or True",
    "assert (a == 1, 'always true')",
    "assert f'{a}'",
    "assert torch.equal(a, a)",
    "assert a.equal(a)",
    "assert len('a') == 1",
    "assert torch",
    "from torch.testing import assert_close",
    "# assert a == 2",
    "'assert a == 2'",
    "assert_close",
    "assert_close(a, a)",
    "assert_close(1, 1.0)",
    "close(a, a)",
    "assert_close(a)",
    "def f():\n    assert a == 2",
    "if False:\n    assert a == 2",
    "try:\n    assert a == 2\nexcept AssertionError:\n    pass",
    "with suppress(AssertionError):\n    assert a == 2",
    "assert a ==",
]
SETUP = """\
import torch
from functools import partial
from torch.testing import assert_close as close
near = partial(torch.testing.assert_close, atol=1)
b = [2, 2]"""


@pytest.mark.parametrize(
    ("text", "count"), [(t, 1) for t in TRUE] + [(t, 0) for t in IDLE]
)
def test_what_asserts_something(text: str, count: int) -> None:
    notebook = good()
    notebook.cells.insert(1, new_code_cell(SETUP, execution_count=2))
    notebook.cells[3].source = f"# eq-one: so\na = 2\n{text}"
    assert bool(list(lint.equations_proved(page(notebook)))) == (not count)
    # Coverage counts the same way.
    assert f"{count} of 1 equations" in lint.coverage([page(notebook)])[0]
