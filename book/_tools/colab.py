"""The edition of a notebook that Colab opens: no MyST, no relative paths."""

from __future__ import annotations

import posixpath
import re

import nbformat
from nbformat import NotebookNode


def addresses(
    repository: str, branch: str, colab_branch: str
) -> dict[str, str]:
    """Return where pictures, pages and notebooks of OWNER/NAME are found."""
    opener = "https://colab.research.google.com/github"
    return {
        "install": repository,
        "raw": f"https://raw.githubusercontent.com/{repository}/{branch}",
        "blob": f"https://github.com/{repository}/blob/{branch}",
        "colab": f"{opener}/{repository}/blob/{colab_branch}",
    }


def edition(
    notebook: NotebookNode, place: str, urls: dict[str, str]
) -> NotebookNode:
    """Return the notebook with addresses instead of relative paths.

    Args:
        notebook: a notebook of the book.
        place: its path in the repository, ``book/part/name.ipynb``.
        urls: ``install`` (OWNER/NAME), ``raw``, ``blob`` and ``colab``
            addresses.
    """
    notebook = nbformat.from_dict(notebook)

    def address(target: str, kind: str) -> str:
        file, hash_, anchor = target.partition("#")
        file = posixpath.normpath(
            posixpath.join(posixpath.dirname(place), file)
        )
        start = urls["colab" if file.endswith(".ipynb") else kind]
        return f"{start}/{file}{hash_}{anchor}"

    def link(match: re.Match[str]) -> str:
        bang, words, target = match.groups()
        if re.match(r"[a-z]+:", target):
            return match[0]
        if target.startswith("#eq-"):
            return f"{words} ({target[1:]})"
        if target.startswith("#"):
            return words
        return f"{bang}[{words}]({address(target, 'raw' if bang else 'blob')})"

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, cell.source)
            cell.source = re.sub(
                r"\s*\$\$[ \t]*\((eq-[\w-]+)\)",
                lambda m: rf" \tag{{{m[1]}}} $$",
                text,
            )
    notebook.cells[0].source = notebook.cells[0].source.replace(
        "OWNER/NAME", urls["install"]
    )
    return notebook
