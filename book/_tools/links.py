"""Relative links lead to files that git tracks and to anchors in them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import nbformat
from numerals import CODE, blank
from page import ROOT
from plain import BLOCK, FORMULA

LINK = re.compile(
    r"\]\(\s*(?:<(?P<angle>[^>\n]+)>|(?P<target>[^)\s<>]+))"
    r"|<[a-z]+\s[^<>]*?(?:href|src)=[\"']?(?P<tag>[^\"'\s>]+)"
    rf"|^{BLOCK}\[[^\]^][^\]]*\]:[ \t]*<?(?P<defined>[^\s>]+)",
    re.MULTILINE,
)
DEFINED = re.compile(rf"^{BLOCK}\[([^\]^][^\]]*)\]:[ \t]*\S", re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
USED = re.compile(r"\[([^\[\]]+)\]\[([^\[\]]*)\]")
FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
TARGET = re.compile(
    r"\$\$[ \t]*\(([\w:.-]+)\)|^\(([\w:.-]+)\)=$|\bid=\"([^\"]+)\"",
    re.MULTILINE,
)


@cache
def tracked() -> frozenset[str] | None:
    """Return the files that git tracks; None in an unpacked archive."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached"]
    try:
        names = subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        if (ROOT / ".git").exists():
            raise
        return None
    files = frozenset(filter(None, names.split("\0")))
    # A copy inside somebody else's repository is not that repository.
    return files if "_toc.yml" in files else None


def exists(path: Path) -> bool:
    """Say whether a reader of the repository finds ``path``."""
    if not path.exists():
        return False
    files = tracked()
    if files is None or not path.is_relative_to(ROOT):
        return True
    name = path.relative_to(ROOT).as_posix()
    return name in files or any(f.startswith(f"{name}/") for f in files)


def slug(title: str) -> str:
    """Return the anchor that MyST gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]", r"\1", title)
    plain = re.sub(r"<!--.*?-->", "", plain).strip().lower().replace(" ", "-")
    return re.sub(r"[^\w\u4e00-\u9fff-]", "", plain)


def anchors(text: str) -> set[str]:
    """Return the anchors of a Markdown text: headings, labels, ids."""
    text = blank(text, FENCE)
    found = {slug(title) for title in HEADING.findall(text)}
    return found | {name for names in TARGET.findall(text) for name in names}


def markdown(path: Path) -> str:
    """Return the Markdown text of a page or of a notebook."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(c.source for c in cells if c.cell_type == "markdown")


@cache
def equations() -> frozenset[str]:
    """Return the labels of all equations of the book."""
    files = (ROOT / "book").glob("*/*.ipynb")
    return frozenset(
        name
        for file in files
        for name in anchors(markdown(file))
        if name.startswith("eq-")
    )


def complaints(path: Path, text: str, whole: str) -> Iterator[str]:
    """Yield the relative links of ``text`` that lead nowhere.

    Args:
        path: the file that the links are relative to.
        text: Markdown.
        whole: all Markdown of that file.
    """
    for pattern in (CODE, COMMENT, FORMULA):
        text = blank(text, pattern)
    known = {" ".join(n.lower().split()) for n in DEFINED.findall(whole)}
    for words, name in USED.findall(text):
        if " ".join((name or words).lower().split()) not in known:
            yield f"link [{words}][{name}]: no such definition"
    for match in LINK.finditer(text):
        target = next(filter(None, match.groups()))
        if re.match(r"[a-zA-Z][\w+.-]*:|//", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = Path(os.path.normpath(path.parent / name)) if name else path
        if name and not exists(file):
            untracked = " that git tracks" if file.exists() else ""
            yield f"link to {target}: no such file{untracked}"
            continue
        if not anchor or (not name and anchor in equations()):
            continue
        if file.suffix not in (".md", ".ipynb"):
            continue
        if anchor not in anchors(markdown(file) if name else whole):
            yield f"link to {target}: no such anchor"


def page_complaints(path: Path) -> Iterator[str]:
    """Yield the links of a Markdown page that lead nowhere."""
    text = path.read_text(encoding="utf-8")
    for complaint in complaints(path, text, text):
        yield f"{path.name}: {complaint}"
