"""The edition of a notebook that Colab opens: no MyST, no relative paths.

Colab loads the one file and nothing beside it. So the install cell names the
repository, a formula carries its number as a LaTeX tag, a reference reads "the
shift rule (2.3)", drawings stand inside the notebook, and links lead to the
repository or to the Colab edition of another notebook.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from equations import Equation, numbered
from nbformat import NotebookNode
from plain import BLOCK, FORMULA, MYST, Plain, Refused

MAX_BYTES = 1_000_000
PAGE = re.compile(r'(?<= href=")([^":#]+)\.html(?=")')
ABSOLUTE = re.compile(r"https?://|mailto:|data:image/(?:png|jpeg|gif);base64,")
IN_HTML = re.compile(r"<\w[^<>]*?\s(?:src|href)=[\"']?([^\"'\s>]+)")
CODE = re.compile(
    rf"^({BLOCK})(`{{3,}}|~{{3,}})[\w ]*\n.*?^[> \t]*\2[ \t]*$"
    r"|(?<![`}])`[^`\n]+`(?!`)",
    re.M | re.S,
)
LEFT_OVER = {
    **MYST,
    "label": re.compile(rf"\(eq-[\w-]+\)|\(#eq-|^{BLOCK}\([\w:.-]+\)=", re.M),
    "comment": re.compile(rf"<!--|^{BLOCK}(?:%|\+\+\+)", re.M),
}


@dataclass(frozen=True)
class Book:
    """What an edition needs to know about the book it is part of.

    Attributes:
        repository: OWNER/NAME on GitHub.
        branch: where pages and pictures are.
        colab_branch: where the editions are.
        root: the folder that holds ``book/``.
        equations: label -> place and number.
        picture: a picture's file -> its data address, or None.
    """

    repository: str
    branch: str = "main"
    colab_branch: str = "colab"
    root: Path = Path()
    equations: Mapping[str, Equation] = field(default_factory=dict)
    picture: Callable[[Path], str | None] = lambda path: None

    def address(self, file: str, picture: bool) -> str | None:
        """Return where Colab finds a file of the repository."""
        if not (self.root / file).exists():
            return None
        if picture and (data := self.picture(self.root / file)):
            return data
        name, branch = self.repository, self.branch
        if file.endswith(".ipynb"):
            host = "https://colab.research.google.com/github"
            return f"{host}/{name}/blob/{self.colab_branch}/{file}"
        if picture:
            # Else a drawing arrives as text and is not shown.
            drawn = "?sanitize=true" if file.endswith(".svg") else ""
            host = "https://raw.githubusercontent.com"
            return f"{host}/{name}/{branch}/{file}{drawn}"
        return f"https://github.com/{name}/blob/{branch}/{file}"


def repository(given: str | None, web: str | None) -> str:
    """Return OWNER/NAME: as given, else of the repository's web address.

    Raises:
        ValueError: there is none on GitHub; the message says what to set.
    """
    if given:
        name = given
    elif web and (
        os.environ.get("GITHUB_REPOSITORY")
        or urlsplit(web).hostname == "github.com"
    ):
        name = urlsplit(web).path.strip("/")
    else:
        raise ValueError(
            "Colab opens notebooks from GitHub, and no repository is known: "
            "set GITHUB_REPOSITORY=OWNER/NAME, add a git remote `origin` on "
            "github.com, or say --repository OWNER/NAME"
        )
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name == "OWNER/NAME":
        raise ValueError(f"a repository reads OWNER/NAME, got {name!r}")
    return name


def book(
    root: Path,
    repository: str,
    branch: str,
    colab_branch: str,
    picture: Callable[[Path], str | None],
) -> Book:
    """Return the book of a folder, its equations counted."""
    return Book(
        repository, branch, colab_branch, root, numbered(root), picture
    )


def edition(notebook: NotebookNode, place: str, book: Book) -> NotebookNode:
    """Return the notebook as Colab needs it.

    Args:
        notebook: a notebook of the book.
        place: its path in the repository, ``book/part/name.ipynb``.
        book: what is around it.

    Raises:
        Refused: a cell has no plain form; the message names it.
    """
    notebook = nbformat.from_dict(notebook)

    def address(target: str, picture: bool) -> str | None:
        file, hash_, anchor = target.partition("#")
        file = posixpath.normpath(
            posixpath.join(posixpath.dirname(place), file)
        )
        found = book.address(file, picture)
        # Colab has no anchors that a page of the book knows.
        if found is None or file.endswith(".ipynb"):
            return found
        return f"{found}{hash_}{anchor}"

    def page(link: re.Match[str]) -> str:
        """A page of the site that stored HTML leads to: its notebook here."""
        return address(f"{link[1]}.ipynb", False) or link[0]

    def equation(label: str) -> tuple[str, str | None] | None:
        if (found := book.equations.get(label)) is None:
            return None
        here = found.file == place
        return found.number, None if here else book.address(found.file, False)

    plain = Plain(equation, address)
    for n, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            try:
                cell.source = plain.convert(cell.source)
            except Refused as error:
                raise Refused(f"{place}, cell {n}: {error}") from None
        else:
            cell.source = cell.source.replace("OWNER/NAME", book.repository)
            # Live controls need a kernel; nothing of them is stored.
            if cell.source.startswith("# Live:"):
                cell.outputs = []
            for output in cell.outputs:
                data = output.get("data", {})
                if "text/html" in data:
                    data["text/html"] = PAGE.sub(page, data["text/html"])
    return notebook


def _targets(source: str) -> Iterator[str]:
    """Yield every address that Markdown links to or shows."""
    from markdown_it import MarkdownIt

    for block in MarkdownIt("commonmark").enable("table").parse(source):
        for token in block.children or [block]:
            if token.type in ("html_inline", "html_block"):
                yield from IN_HTML.findall(token.content)
            for name in ("href", "src"):
                if (target := token.attrs.get(name)) is not None:
                    yield str(target)


def faults(notebook: NotebookNode) -> Iterator[str]:
    """Yield what Colab would show raw or would not find, by cell."""
    if (size := len(nbformat.writes(notebook).encode())) > MAX_BYTES:
        yield f"{size:,} bytes, at most {MAX_BYTES:,}"
    for n, cell in enumerate(notebook.cells, 1):
        texts = [cell.source] if cell.cell_type == "markdown" else []
        shown = [o.get("data", {}) for o in cell.get("outputs", [])]
        texts += [d["text/markdown"] for d in shown if "text/markdown" in d]
        targets = [t for text in texts for t in _targets(text)]
        for data in shown:
            html = IN_HTML.findall(data.get("text/html", ""))
            targets += [t for t in html if not t.startswith("#")]
        for text in texts:
            text = CODE.sub("", text)
            plain = FORMULA.sub("", text)
            for name, pattern in LEFT_OVER.items():
                if match := pattern.search(text if name == "label" else plain):
                    yield f"cell {n}: {name} {match[0].strip()!r}"
        for target in targets:
            if not ABSOLUTE.match(target):
                yield f"cell {n}: relative address {target!r}"
        if "OWNER/NAME" in cell.source:
            yield f"cell {n}: OWNER/NAME"
        live = cell.source.startswith("# Live:")
        if cell.cell_type == "code" and live and cell.outputs:
            yield f"cell {n}: output of a live cell"
