"""Rules about the book's words, wherever a reader meets them.

Beside the prose: alt texts, comments in code, what code prints (the source of
functions aside), the explorer's sentences, figures, hints of exercises.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import terms
from nbformat import NotebookNode
from page import ROOT, Page
from rules_chinese import wrong_names
from vocabulary import Glossary, forbidden, glossary, times

DRAWN = re.compile(
    r"<(?:text|tspan|title|desc)\b[^>]*>([^<]*)|<!--(.*?)-->", re.DOTALL
)


class Words(HTMLParser):
    """Collects what an HTML text says: its text and its names of pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self._silent = 0
        self.feed(text)
        self.close()

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        self._silent += tag in ("script", "style")
        for name, value in attrs:
            if name in ("alt", "aria-label", "title") and value:
                self.said.append(value)
            elif name == "srcdoc" and value:
                self.said += Words(value).said

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.said.append(data)


def is_source(text: str) -> bool:
    """Say whether a text is the source of a function or class."""
    try:
        tree = ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError):
        return False
    return any(
        isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in tree.body
    )


def drawn(text: str) -> Iterator[str]:
    """Yield what is written in an SVG; matplotlib keeps it in comments."""
    for written, comment in DRAWN.findall(text):
        yield written or comment


def comments(source: str) -> Iterator[str]:
    """Yield the comments of a code cell."""
    lines = re.sub(r"^[ \t]*[%!].*$", "", source, flags=re.MULTILINE)
    try:
        for token in tokenize.generate_tokens(io.StringIO(lines).readline):
            if token.type == tokenize.COMMENT:
                yield re.sub(r"\beq-[\w-]+", "", token.string)
    except (tokenize.TokenError, SyntaxError):
        yield "\n".join(re.findall(r"#.*$", source, re.MULTILINE))


def own_words(cell: NotebookNode) -> Iterator[tuple[str, str]]:
    """Yield (what, text) for what a code cell says in words."""
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    yield "alt text", alt
    for text in comments(cell.source):
        yield "comment", text
    for output in cell.outputs:
        data = output.get("data", {})
        texts = [output.get("text", ""), output.get("evalue", "")]
        texts += [data.get("text/plain", ""), data.get("text/markdown", "")]
        texts += Words(data.get("text/html", "")).said
        texts += drawn(data.get("image/svg+xml", ""))
        for text in texts:
            if not is_source(text):
                yield "output", text


def faults(text: str, data: Glossary) -> Iterator[str]:
    """Yield refused names and wrong Chinese in a text that is no Markdown."""
    text = times(text)
    for _, complaint in forbidden(text, data):
        yield complaint
    for _, complaint in wrong_names(text, data):
        yield complaint


def vocabulary(page: Page) -> Iterator[str]:
    """No other name for a term of the glossary, no American spelling."""
    yield from terms.forbidden_names(page.notebook, glossary())


def chinese(page: Page) -> Iterator[str]:
    """A Chinese name stands behind its term and is the glossary's."""
    yield from terms.chinese_names(page.notebook, glossary())


def own_words_agree(page: Page) -> Iterator[str]:
    """Alt texts, comments, outputs and figures keep to the glossary."""
    for where, cell in page.code():
        found = [
            f"{where}: {what}: {complaint}"
            for what, text in own_words(cell)
            for complaint in faults(text, glossary())
        ]
        yield from dict.fromkeys(found)


def introductions(page: Page) -> Iterator[str]:
    """A chapter introduces a term once, as the glossary has it, in time."""
    if page.chapter:
        data = glossary()
        yield from terms.introductions_agree(page.notebook, data)
        yield from terms.not_before(page.notebook, data)


def hints(file: Path, data: Glossary) -> Iterator[str]:
    """Yield what the strings of a Python file say wrongly."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for complaint in faults(node.value, data):
                yield f"{file.name}: line {node.lineno}: {complaint}"


def drawing(file: Path, data: Glossary) -> Iterator[str]:
    """Yield what a drawn figure says wrongly."""
    for text in drawn(file.read_text(encoding="utf-8")):
        for complaint in faults(text, data):
            yield f"{file.name}: {complaint}"


def whole_book() -> Iterator[str]:
    """Yield what the glossary, the hints, the figures and pages break."""
    data = glossary()
    yield from terms.whole_book(data)
    for file in sorted((ROOT / "attnlib" / "exercises").glob("*.py")):
        yield from hints(file, data)
    for file in sorted((ROOT / "book" / "figures").glob("*.svg")):
        yield from drawing(file, data)


RULES = (vocabulary, chinese, own_words_agree, introductions)
