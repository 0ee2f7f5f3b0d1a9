"""Numbers in prose: found, compared with the code, and counted."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import nbformat
import prose
import pytest
import torch
from nbformat import NotebookNode
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

CODE = """\
import random
from fractions import Fraction

import torch

best, ratio, H, W = {"camera": 27.83}, torch.tensor([41.0, 50]), 64, 96
share, tiny, err, exact = 0.5944, 2.2e-46, 3e-13, Fraction(25, 8)
row, words, x = torch.tensor([[4, 8], [12, -7]]), ["a"], torch.ones(3)"""


def notebook(text: str, below: str = "later = 1536") -> NotebookNode:
    return new_notebook(
        cells=[
            new_code_cell(CODE),
            new_markdown_cell(text),
            new_code_cell(below),
            new_code_cell("H, last = 0, 99"),
        ]
    )


def run(nb: NotebookNode) -> dict[str, object]:
    """Execute the cells in this process, as a kernel would."""
    space: dict[str, object] = {}
    for cell in nb.cells:
        if cell.cell_type == "code":
            with contextlib.redirect_stdout(io.StringIO()) as text:
                exec(cell.source, space)
            if text.getvalue():
                cell.outputs = [
                    new_output("stream", name="stdout", text=text.getvalue())
                ]
    return space


def verdicts(text: str) -> list[prose.Verdict]:
    executed = prose.with_checks(notebook(text))
    run(executed)
    return prose.verdicts(executed)


RIGHT = [
    '27.8<!--= best["camera"] --> dB',
    "59 %<!--= 100 * share --> of it",
    "59<!--= 100 * share --> %",
    "$2^{10}=1024$<!--= H * 2**4 -->",
    "2·10⁻⁴⁶<!--= tiny -->",
    "below 10⁻¹²<!--= err < 1e-12 -->",
    "within $10^{-12}$<!--= err < 10**-12 -->",
    "at least 40<!--= ratio.min() >= 40 -->",
    "40<!--= ratio.min() >= 40 --> or more",
    "40 to 50<!--= (ratio.min() >= 40, ratio.max() <= 50) -->",
    "near 10⁻¹²<!--= 1e-12 / 10 < err < 1e-12 * 10 -->",
    "at least 40<!--= all(r > 40 for r in ratio) -->",
    "at least 40<!--= 1 / ratio.min() < 1 / 40 --> times",
    "1,536<!--= (x + 1536).softmax(0).allclose(x.softmax(0)) -->",
    "of 64<!--= H == 64 -->",
    "64 × 96<!--= (H, W) --> pixels",
    "$H = 64$ and $W = 96$<!--= (H, W) -->",
    "1,536<!--=below later -->",
    "99<!--=end last -->",
    "25/8<!--= exact -->",
    "25/8<!--= float(exact) -->",
    "| 4 | 8 | 12 | −7<!--=last4 row --> |",
    "**27.8**<!--= best['camera'] --><!--= best['camera'] -->",
    "27.83<!--= float(H * 0.4348 * torch.ones(())) -->",
]
WRONG = {
    '27.9<!--= best["camera"] -->': "is 27.83",
    '27.8<!--= best["boat"] -->': "raised KeyError: 'boat'",
    "27<!--= nowhere -->": "raised NameError: name 'nowhere' is not defined",
    "1,536<!--= later -->": "raised NameError: name 'later' is not defined",
    "99<!--=end H -->": "is 0",
    "41<!--= ratio.min() > 40 -->": (
        "is True, 41 is not one side of a comparison"
    ),
    "50<!--= ratio.min() > 50 -->": "is False",
    "64 × 97<!--= (H, W) -->": "is 64; is 96",
    "4 8 12<!--=last3 row -->": "is 4 values for 3 numbers",
    "12<!--= row -->": "is 4 values for 1 numbers",
    "12<!--= words[0] -->": "is no number: str 'a'",
    "12<!--= ratio.mean() * float('nan') -->": "is no number: float nan",
    "at least 40<!--= bool(W) -->": (
        "is True, no comparison: W, 40 is not one side of a comparison"
    ),
    "0.3<!--= -0.3 * W / W -->": "is -0.3",
    "12<!--= random.random() * 0 + 12 -->": "draws random numbers",
    "12<!--= torch.rand(()) * 0 + 12 -->": "draws random numbers",
    "12<!--= x.add_(1).numel() * 4 -->": "changes x",
    "12<!--= words.append(1) or W / 8 -->": "changes words",
    "12<!--= best.update(a=1) or W / 8 -->": "changes best",
}


@pytest.mark.parametrize("text", RIGHT)
def test_right_numbers(text: str) -> None:
    assert not list(prose.complaints(notebook(text)))
    found = verdicts(text)
    assert found
    assert all(v.ok for v in found), found


@pytest.mark.parametrize("text", WRONG)
def test_wrong_numbers(text: str) -> None:
    (found,) = verdicts(text)
    assert not found.ok
    assert found.got == WRONG[text]
    assert str(found).startswith("cell 2: ")


def test_a_check_that_was_not_run_is_no_success() -> None:
    executed = prose.with_checks(notebook(RIGHT[0]))
    (found,) = prose.verdicts(executed)
    assert (found.ok, found.got) == (False, "was not evaluated")


def test_evaluation_leaves_no_trace() -> None:
    plain = notebook(" ".join([*RIGHT, *list(WRONG)[:10]]), "later = 1536")
    watched = prose.with_checks(plain)
    assert len(plain.cells) == 4
    torch.manual_seed(0)
    before = set(run(plain))
    numbers = torch.rand(3)
    torch.manual_seed(0)
    after = set(run(watched))
    assert before == after
    assert torch.equal(torch.rand(3), numbers)


BROKEN = {
    "a\n<!--= H -->": "must not start a line",
    "- <!--= H -->": "must not start a line",
    "# 64<!--= H -->": "heading of level 1",
    "64<!--= H + -->": "not a Python expression",
    "64<!--= -->": "not a Python expression",
    "64<!--= (a := 64) -->": "must not assign",
    "64<!--= 64 -->": "checks nothing",
    "64<!--= 64 > 63 -->": "checks nothing",
    "64<!--= 2**6 -->": "checks nothing",
    "64<!--= sum((32, 32)) -->": "checks nothing",
    "64<!--= sum(n for n in (32, 32)) -->": "checks nothing",
    '64<!--= float("64") -->': "checks nothing",
    "64<!--= (lambda a: a)(64) -->": "checks nothing",
    "64<!--= 64 + 0 * W -->": "checks nothing: 64 itself stands in it",
    "64<!--= max(64, 0 * W) -->": "checks nothing: 64 itself",
    "64<!--= 64 if W else 0 -->": "checks nothing: 64 itself",
    "64<!--= [1, 64][W > 0] -->": "checks nothing: 64 itself",
    "64<!--= torch.tensor(64) -->": "checks nothing: 64 itself",
    "at least 64<!--= W > 3 and 64 -->": "no comparison: 64",
    "at least 64<!--= W > 3 and 65 > 64 -->": "compares no name: 65 > 64",
    "at least 64<!--= 3 < 64 < W -->": "compares no name",
    "at least 64<!--= W > 64 or W < 3 -->": "no 'or'",
    "at least 64<!--= not W < 64 -->": "no comparison: not W < 64",
    "at least 64<!--= W > 64 * 2000 -->": "not one side of a comparison",
    "at least 64<!--= W * 64 > 3 -->": "not one side of a comparison",
    "64<!--= W > 64 -->": "does not say that 64 is one",
    "0.57<!--= share < 0.57 -->": "does not say that 0.57 is one",
    "about 0.57<!--= share < 0.57 -->": "does not say that 0.57 is one",
    "Over. The 64<!--= W > 64 -->": "does not say that 64 is one",
    "| over | 64<!--= W > 64 --> |": "does not say that 64 is one",
    "64<!--= 60 < W < 64 * 2 and W > 64 / 2 -->": "does not say 'about 64'",
    "0.5 2 3<!--= [0.5, *row] -->": "checks nothing",
    "64 × 96<!--= (64, W) -->": "checks nothing",
    "64 × 96<!--= (*row,) -->": "entries of a tuple",
    "64 pixels<!--= H -->": "not directly behind a number",
    "some<!--= H -->": "not directly behind a number",
    "64 × 96<!--= (H, W, W) -->": "not directly behind a number",
    "`64`<!--= H -->": "not directly behind a number",
    "64<!--= H\n-->": "one line",
    "64<!--= H --0 -->": "one line",
    "| 64<!--= H | 0 --> |": "end the cell of the table",
    "64<!--given: -->": "without a reason",
    "64<!-- = H -->": "not a comment that is known",
    "64<!-- given by us -->": "not a comment that is known",
}


@pytest.mark.parametrize("text", BROKEN)
def test_static_rules(text: str) -> None:
    found = list(prose.complaints(notebook(text)))
    assert any(BROKEN[text] in complaint for complaint in found), found
    assert all(complaint.startswith("cell 2: ") for complaint in found)


def test_below_needs_a_cell_below() -> None:
    nb = notebook("64<!--=below H -->")
    nb.cells[2:] = []
    assert "no code cell below" in next(prose.complaints(nb))


def test_a_check_in_code_is_no_check() -> None:
    nb = notebook("Write `27.8<!--= x -->`.")
    assert not prose.checks(nb)
    assert not list(prose.complaints(nb))


def test_coverage_has_three_counts() -> None:
    text = (
        "27.8<!--= best['camera'] -->, 3, 64 × 96<!--given: our choice -->, "
        "71 | 72<!--given last2: cited --> 15 to 59 %<!--given: cited --> "
        "and 55<!-- = typo --> and 7 pixels<!--= H -->, 1,536."
    )
    got = prose.coverage(notebook(text))
    assert (got.checked, got.given, len(got.unchecked)) == (1, 6, 2)
    assert got.unchecked[1][0] == 2
    assert "1,536" in got.unchecked[1][1]
    assert got.share == 1 / 3
    assert str(got) == "1 checked, 6 given, 2 unchecked: 33 %"


def test_a_notebook_without_numbers_is_covered() -> None:
    assert prose.coverage(notebook("Nothing.")).share == 1


def test_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        '27.8<!--= best["camera"] -->, 27.9<!--= best["camera"] -->, '
        "1,536<!--=below later -->, and 55."
    )
    path = tmp_path / "small.ipynb"
    nbformat.write(notebook(text, "from pathlib import Path\nlater = 1536\n"
                   "assert Path('small.ipynb').exists()"), path)  # fmt: skip
    stored = path.read_bytes()
    assert prose.main(["--list", str(path)]) == 1
    listed = capsys.readouterr().out.splitlines()
    assert listed[0] == "small.ipynb 3 checked, 0 given, 1 unchecked: 75 %"
    assert listed[1].startswith("    cell 2: ")
    assert prose.main([str(path)]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == 'small.ipynb cell 2: 27.9 <- best["camera"] is 27.83'
    assert shown[1:] == listed
    assert path.read_bytes() == stored
