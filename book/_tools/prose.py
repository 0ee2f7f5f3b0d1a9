"""Numbers in prose that come from code are checked against the code.

    prose.py [PATH ...]          execute, compare, print failures and coverage
    prose.py --list [PATH ...]   print the unchecked numbers, execute nothing

Without PATH: every book/*/*.ipynb. Directly behind a number in a Markdown cell
stands an invisible comment:

    27.8<!--= best["camera"] --> dB       value after the last code cell above
    27.8<!--=below best["camera"] -->     after the next code cell below
    27.8<!--=end best["camera"] -->       after the last cell of the notebook
    $2^{10}=1024$<!--= 2**k -->           the last number in the formula
    64 x 96<!--= (H, W) -->               a tuple: as many numbers before it
    | 4 | 8 | 12<!--=last3 row --> |      a list or tensor, three numbers
    at least 40<!--= ratio.min() >= 40 --> a bound: the prose says that it is
    72.7<!--given: cited, table 2 -->     not from code, with a reason; joined
                                          numbers (64 x 96, 15 to 59) share it
    72.7 | 72.9<!--given last2: cited -->

A value agrees if it rounds to the printed number. Expressions are pure and do
not hold the number that they yield; what bounds are is in ``prose_bounds.py``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

sys.path.insert(0, str(Path(__file__).parent))
from page import ROOT, short
from prose_comments import (
    WANTED,
    Comment,
    Coverage,
    checks,
    comments,
    complaints,
    coverage,
)
from prose_verdicts import Verdict, verdicts

__all__ = [
    "WANTED", "Comment", "Coverage", "Verdict", "checks", "comments",
    "complaints", "coverage", "execute", "verdicts", "with_checks",
]  # fmt: skip

KERNEL = Path(__file__).with_name("prose_kernel.py")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "SOURCE_DATE_EPOCH": "0"}


def with_checks(notebook: NotebookNode) -> NotebookNode:
    """Return a copy in which evaluation cells stand between the others.

    Their outputs are what :func:`verdicts` reads. They add no name to the
    notebook and leave the random generators as they were.
    """
    places: dict[int, list[Comment]] = defaultdict(list)
    code = [
        n for n, c in enumerate(notebook.cells, 1) if c.cell_type == "code"
    ]
    for check in checks(notebook):
        last = len(notebook.cells)
        below = next((n for n in code if n > check.cell), last)
        place = {"above": check.cell - 1, "below": below, "end": last}
        places[place[check.when]].append(check)
    copy = nbformat.from_dict(notebook)
    copy.cells = []
    for n in range(len(notebook.cells) + 1):
        if n:
            copy.cells.append(nbformat.from_dict(notebook.cells[n - 1]))
        if n in places:
            copy.cells.append(_evaluation(places[n], n))
    return copy


def _evaluation(found: list[Comment], place: int) -> NotebookNode:
    names = repr([c.text for c in found])
    text = KERNEL.read_text(encoding="utf-8")
    return nbformat.v4.new_code_cell(
        f"exec({text!r}, {{'SPACE': globals(), 'PLACE': {place}, "
        f"'EXPRESSIONS': {names}}})",
        metadata={
            "tags": ["remove-cell"],
            "prose_place": place,
            "prose": [
                {
                    "cell": c.cell,
                    "numbers": [n.text for n in c.numbers],
                    "expression": c.text,
                }
                for c in found
            ],
        },
    )


def execute(path: Path) -> tuple[NotebookNode, str | None]:
    """Run a notebook with its checks in its folder; return it and an error."""
    os.environ.update(ENVIRONMENT)
    os.environ.pop("MPLBACKEND", None)
    notebook = with_checks(nbformat.read(path, as_version=4))
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        return notebook, str(error)
    return notebook, None


def main(argv: list[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args(argv)
    given = [path.resolve() for path in options.paths]
    paths = given or sorted((ROOT / "book").glob("*/*.ipynb"))
    failed = 0
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        if not options.list:
            executed, error = execute(path)
            bad = [str(v) for v in verdicts(executed) if not v.ok]
            bad += [error] if error else []
            failed += len(bad)
            for text in bad:
                print(f"{short(path)} {text}")
        for text in complaints(notebook):
            failed += 1
            print(f"{short(path)} {text}")
        counts = coverage(notebook)
        failed += counts.share < WANTED
        print(f"{short(path)} {counts}", flush=True)
        for cell, text in counts.unchecked:
            print(f"    cell {cell}: {text}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
