"""Rules that every notebook keeps: small functions, a page in, complaints out.

``notebooks.py check`` runs them all; ``tests/book/test_lint.py`` shows each of
them failing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
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
DISPLAY = re.compile(
    r"(.?)[ \t]*\$\$(.+?)\$\$[ \t]*(?:\(([\w:.-]+)\))?[ \t]*(.?)", re.DOTALL
)
EQUATION = re.compile(r"#\s*(eq-[\w-]+(?:\s*,\s*eq-[\w-]+)*)\s*:")
ALIAS = re.compile(r"^(\w+) = torch\.testing\.assert_close$", re.MULTILINE)
ROLE = re.compile(r"\{[\w:.+-]+\}`|^\s*(?:`{3,}|:{3,})\s*\{", re.MULTILINE)
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)")


@dataclass(frozen=True)
class Page:
    """A notebook: file, text, as read, and as the normaliser writes it."""

    path: Path
    text: str
    notebook: NotebookNode
    normal: str

    def code(self) -> Iterator[tuple[str, NotebookNode]]:
        """Yield (where, cell) for each code cell."""
        for n, cell in enumerate(self.notebook.cells, 1):
            if cell.cell_type == "code":
                yield f"cell {n}", cell

    def prose(self) -> Iterator[tuple[str, str]]:
        """Yield (where, text without code) for each Markdown cell."""
        for n, cell in enumerate(self.notebook.cells, 1):
            if cell.cell_type == "markdown":
                text = re.sub(
                    r"^```.*?^```",
                    "",
                    cell.source,
                    flags=re.DOTALL | re.MULTILINE,
                )
                yield f"cell {n}", re.sub(r"(?<!\{)`[^`\n]*`", "``", text)


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
        if not meant and any(o.output_type == "error" for o in cell.outputs):
            yield f"{where}: error output"


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
        text = cell.source + "\n" + "\n".join(_output_text(cell))
        if (match := LOCAL_PATH.search(text)) or str(ROOT) in text:
            yield f"cell {n}: local path {match[0] if match else ROOT.name!r}"


def _output_text(cell: NotebookNode) -> Iterator[str]:
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield output.get("evalue", "")
        yield from output.get("traceback", [])
        for kind, value in output.get("data", {}).items():
            if isinstance(value, str) and kind not in (
                "image/png",
                "image/jpeg",
            ):
                yield re.sub(r"data:image/\w+;base64,[\w+/=\s]+", "", value)


def alt_text(page: Page) -> Iterator[str]:
    """Every picture says in words what it shows."""
    for where, cell in page.code():
        pictured = any(
            k.startswith("image/")
            for o in cell.outputs
            for k in o.get("data", {})
        )
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if pictured and not _describes(alt):
            yield f"{where}: figure without alt text (mystnb.image.alt)"
    for where, text in page.prose():
        for alt, address in IMAGE.findall(text):
            if not _describes(alt):
                yield f"{where}: picture {address} without alt text"


def _describes(alt: str) -> bool:
    return " " in alt.strip() and not re.search(
        r"\.(?:png|svg|jpe?g)$", alt.strip()
    )


def labels(page: Page) -> list[str]:
    """Return the labels of the displayed equations, in reading order."""
    return [
        m[3]
        for _, text in page.prose()
        for m in DISPLAY.finditer(text)
        if m[3]
    ]


def equations_labelled(page: Page) -> Iterator[str]:
    """A displayed equation is a paragraph and carries a label eq-…."""
    for where, text in page.prose():
        for before, formula, label, after in DISPLAY.findall(text):
            start = formula.strip()[:40]
            if not (label or "").startswith("eq-"):
                yield f"{where}: equation without a label eq-…: {start}"
            if before.strip() or after.strip():
                yield f"{where}: equation is not its own paragraph: {start}"


def equations_proved(page: Page) -> Iterator[str]:
    """Each equation is named in the first line of a cell that asserts."""
    proved: set[str] = set()
    code = "\n".join(cell.source for _, cell in page.code())
    asserts = re.compile(
        "|".join([r"\bassert", *(rf"\b{n}\(" for n in ALIAS.findall(code))])
    )
    for where, cell in page.code():
        if match := EQUATION.match(cell.source):
            if not asserts.search(cell.source.partition("\n")[2]):
                yield f"{where}: names an equation and asserts nothing"
            proved.update(re.split(r"\s*,\s*", match[1]))
    known = labels(page)
    for label in sorted(set(known) - proved):
        yield f"equation {label}: no cell starts with '# {label}: …'"
    for label in sorted(proved - set(known)):
        yield f"{label}: named by a cell, but no equation has this label"


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


def plain_markdown(page: Page) -> Iterator[str]:
    """No MyST role or directive, which Colab would show as raw text."""
    for n, cell in enumerate(page.notebook.cells, 1):
        if cell.cell_type == "markdown" and (
            match := ROLE.search(cell.source)
        ):
            yield f"cell {n}: MyST role or directive {match[0].strip()!r}"


RULES = (
    normal_form, size, first_cell, executed, no_errors, no_stderr, tags,
    ignored, local_paths, alt_text, equations_labelled, equations_proved,
    cell_shape, plain_markdown,
)  # fmt: skip


def lint(pages: list[Page]) -> list[str]:
    """Return every complaint about ``pages``, each with the file's name."""
    found = [
        f"{p.path.name}: {text}"
        for p in pages
        for rule in RULES
        for text in rule(p)
    ]
    owner: dict[str, str] = {}
    for page in pages:
        for label in labels(page):
            if label in owner:
                found.append(
                    f"{page.path.name}: label {label} taken by {owner[label]}"
                )
            owner.setdefault(label, page.path.name)
    return found
