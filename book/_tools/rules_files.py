"""Rules about the file, its cells and their stored outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from page import ROOT, Page, output_text

TAGS = {
    "remove-cell",
    "hide-input",
    "hide-output",
    "remove-input",
    "raises-exception",
    "nbval-ignore-output",
    "nbval-raises-exception",
}
FIRST_CELL = """\
# Colab starts without attnlib: install it from the repository of this page.
import importlib.util

if importlib.util.find_spec("attnlib") is None:
    %pip install -q "attnlib[plots] @ git+https://github.com/OWNER/NAME\""""
MAX_BYTES, MAX_LINES, MAX_COLUMNS = 500_000, 25, 79
LOCAL_PATH = re.compile(
    r"/(?:home|Users|root|tmp|private|var|opt|mnt)/\w|[A-Z]:\\\w|site-packages"
)


def normal_form(page: Page) -> Iterator[str]:
    """The file is what ``notebooks.py run`` writes, byte for byte."""
    if page.text != page.normal:
        yield "not in normal form: run book/_tools/notebooks.py run on it"


def size(page: Page) -> Iterator[str]:
    """A notebook loads quickly and its diff can be read."""
    if (got := len(page.text.encode())) > MAX_BYTES:
        yield f"{got:,} bytes, at most {MAX_BYTES:,}"


def first_cell(page: Page) -> Iterator[str]:
    """The first cell installs attnlib in Colab; the page does not show it."""
    code = next(page.code(), None)
    if code is None or code[0] != "cell 1" or code[1].source != FIRST_CELL:
        yield "cell 1 is not the prescribed install cell"
    elif code[1].metadata.get("tags") != ["remove-cell"]:
        yield "cell 1 must have the one tag remove-cell"


def executed(page: Page) -> Iterator[str]:
    """Cells have run once, in order; nbval skips a cell without a count."""
    for n, (where, cell) in enumerate(page.code(), 1):
        if cell.execution_count != n:
            yield f"{where}: count {cell.execution_count}, expected {n}"


def no_errors(page: Page) -> Iterator[str]:
    """An exception is shown only where the cell says that it is meant."""
    for where, cell in page.code():
        meant = {"raises-exception", "nbval-raises-exception"} & set(
            cell.metadata.get("tags", [])
        )
        raised = any(o.output_type == "error" for o in cell.outputs)
        if raised and not meant:
            yield f"{where}: error output"
        for tag in sorted(meant) if not raised else ():
            yield f"{where}: {tag}, but nothing is raised"


def no_stderr(page: Page) -> Iterator[str]:
    """No warning, no progress bar."""
    for where, cell in page.code():
        if any(
            o.output_type == "stream" and o.name == "stderr"
            for o in cell.outputs
        ):
            yield f"{where}: output on stderr"


def tags(page: Page) -> Iterator[str]:
    """Only tags that the book, nbval and this lint know."""
    for n, cell in enumerate(page.notebook.cells, 1):
        for tag in cell.metadata.get("tags", []):
            if tag not in TAGS:
                yield f"cell {n}: unknown tag {tag!r}"


def ignored(page: Page) -> Iterator[str]:
    """At most a tenth of the cells escape the comparison of outputs."""
    cells = [cell for _, cell in page.code()]
    count = sum(
        "nbval-ignore-output" in c.metadata.get("tags", []) for c in cells
    )
    if 10 * count > len(cells):
        yield f"{count} of {len(cells)} outputs ignored, at most a tenth"


def local_paths(page: Page) -> Iterator[str]:
    """No path of the machine that ran the notebook."""
    for n, cell in enumerate(page.notebook.cells, 1):
        text = cell.source + "\n" + "\n".join(output_text(cell))
        if (match := LOCAL_PATH.search(text)) or str(ROOT) in text:
            yield f"cell {n}: local path {match[0] if match else ROOT.name!r}"


def cell_shape(page: Page) -> Iterator[str]:
    """A cell fits on a screen; no trailing ;, which nbval does not honour."""
    for where, cell in page.code():
        lines = cell.source.split("\n")
        if len(lines) > MAX_LINES:
            yield f"{where}: {len(lines)} lines, at most {MAX_LINES}"
        for line in lines:
            if (width := len(line)) > MAX_COLUMNS:
                yield f"{where}: {width} columns: {line.strip()[:40]}"
            if line.rstrip().endswith(";"):
                yield f"{where}: trailing ;: {line.strip()[:40]}"


RULES = (
    normal_form, size, first_cell, executed, no_errors, no_stderr, tags,
    ignored, local_paths, cell_shape,
)  # fmt: skip
