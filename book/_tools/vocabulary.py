"""The glossary as data, and finding its terms in a Markdown text.

The rules that use it are in ``terms.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml
from numerals import CODE, blank
from page import ROOT

DATA = ROOT / "book" / "back" / "glossary.yml"
HAN = "\u4e00-\u9fff"
BOLD = re.compile(rf"\*\*([^*()]+?)\s+\(([^()]*[{HAN}][^()]*)\)\*\*")
ASIDE = re.compile(rf"\*\*([^*()]+?)\*\*\s+\(([^()]*[{HAN}][^()]*)\)")
HIDDEN = tuple(
    re.compile(pattern, re.DOTALL | re.MULTILINE)
    for pattern in (
        r"<!--.*?-->",
        r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>",
        r"\$\$.*?\$\$(?:[ \t]*\([\w-]+\))?",
        r"(?<![\\$])\$(?:[^$\n]|\n(?!\n))+\$",
        r"!\[[^\]]*\]\([^)]*\)",
        r"(?<=\])\([^)\s]*\)",
        r"https?://\S+",
    )
)
# Neither a use nor an introduction.
FRAME = tuple(
    re.compile(pattern, re.DOTALL | re.MULTILINE)
    for pattern in (
        r"^#+ .*?$",
        r"\[[^\]]*\](?=\()",
        r"^[> \t]*\|.*?$",
        r"(?<=\n)\*(?!\*)[^*\n]+\*$",
        r"^\*\*You need\b.*?(?=\n\n|\Z)",
    )
)
ELSEWHERE = re.compile(r"\[[^\]]*\]\(https?:[^)]*\)")
QUOTED = re.compile(r'"(?:[^"\n]|\n(?!\n)){1,200}"|“[^”]{1,200}”')
FOREIGN = {"paper", "elsewhere", "overview", "official"}


@dataclass(frozen=True)
class Term:
    """An entry of the glossary; ``forbidden`` holds (form, reason)."""

    term: str
    chinese: str
    definition: str
    forbidden: tuple[tuple[str, str], ...] = ()
    everyday: bool = False


@dataclass(frozen=True)
class Glossary:
    """All entries, and the spellings: refused -> meant."""

    terms: tuple[Term, ...]
    spelling: dict[str, str] = field(default_factory=dict)


def parse(data: dict[str, Any]) -> Glossary:
    """Return the glossary of a loaded YAML file."""
    terms = []
    for entry in data["terms"]:
        entry = dict(entry)
        entry["forbidden"] = tuple(
            (f, "") if isinstance(f, str) else (f["form"], f["reason"])
            for f in entry.get("forbidden", [])
        )
        terms.append(Term(**entry))
    return Glossary(tuple(terms), dict(data.get("spelling") or {}))


@cache
def glossary() -> Glossary:
    """Return the glossary of the book."""
    return parse(yaml.safe_load(DATA.read_text(encoding="utf-8")))


def directive(data: Glossary) -> str:
    """Return the entries as the MyST directive of the glossary page."""
    entries = [f"{t.term}\n{t.chinese}\n  {t.definition}" for t in data.terms]
    return "\n\n".join(["```{glossary}\n" + entries[0], *entries[1:]]) + (
        "\n```"
    )


def _pattern(form: str) -> str:
    words = r"\s+".join(re.escape(w) for w in form.rstrip("*").split())
    if form.endswith("*"):
        return words + r"\w*"
    if re.search("[^aeiou]y$", form):
        return words[:-1] + r"(?:y|ies)"
    return words + "(?:s|es)?"


def singular(term: str) -> str:
    """Return a term as the glossary lists it: lower case, no plural."""
    words = " ".join(term.lower().split())
    words = re.sub("(?<=[^aeiou])ies$", "y", words)
    words = re.sub("(?<=ch|sh|ss)es$|(?<=x)es$", "", words)
    return re.sub("(?<=[a-rt-z])s$", "", words)


@cache
def _uses(terms: tuple[Term, ...]) -> tuple[re.Pattern[str], list[Term]]:
    longest = sorted(terms, key=lambda t: -len(t.term))
    parts = "|".join(f"({_pattern(t.term)})" for t in longest)
    return re.compile(rf"(?<!\w)(?:{parts})(?!\w)", re.IGNORECASE), longest


def shown(source: str) -> str:
    """Return a Markdown text without code, formulas and addresses."""
    text = blank(source, CODE)
    for pattern in HIDDEN:
        text = blank(text, pattern)
    return text


def uses(source: str, data: Glossary) -> list[tuple[int, Term]]:
    """Return (place, term) for each use of a term in running text."""
    text = blank(source, CODE)
    for pattern in FRAME:
        text = blank(text, pattern)
    text = shown(text)
    pattern, terms = _uses(data.terms)
    return [
        (m.start(), terms[m.lastindex - 1])
        for m in pattern.finditer(text)
        if m.lastindex
    ]


def introductions(source: str) -> list[tuple[int, str, str]]:
    """Return (place, term as the glossary lists it, Chinese)."""
    return [
        (m.start(), singular(m[1]), m[2])
        for m in BOLD.finditer(blank(source, CODE))
    ]


def _translations(text: str) -> str:
    """Blank the columns of tables that say how others write a thing."""
    lines, foreign = text.split("\n"), set()
    for n, line in enumerate(lines):
        if not line.lstrip("> ").startswith("|"):
            foreign = set()
            continue
        cells = line.split("|")
        if n + 1 < len(lines) and re.match(r"[> ]*\|[ :-]+\|", lines[n + 1]):
            foreign = {
                i for i, c in enumerate(cells) if FOREIGN & set(c.split())
            }
        lines[n] = "|".join(
            " " * len(c) if i in foreign else c for i, c in enumerate(cells)
        )
    return "\n".join(lines)


@cache
def _refused(
    terms: tuple[Term, ...], spelling: tuple[tuple[str, str], ...]
) -> tuple[re.Pattern[str], list[tuple[str, str, str]]]:
    forms = [(f, t.term, why) for t in terms for f, why in t.forbidden]
    forms += [(bad, good, "") for bad, good in spelling]
    parts = "|".join(f"({_pattern(form)})" for form, _, _ in forms)
    return re.compile(rf"(?<!\w)(?:{parts})(?!\w)", re.IGNORECASE), forms


def forbidden(source: str, data: Glossary) -> Iterator[tuple[int, str]]:
    """Yield (place, complaint) for each refused name in a text."""
    pattern, forms = _refused(data.terms, tuple(data.spelling.items()))
    if forms:
        text = shown(blank(source, ELSEWHERE))
        text = _translations(blank(text, QUOTED))
        for match in pattern.finditer(text):
            _, good, why = forms[match.lastindex - 1]
            found = " ".join(match[0].split())
            yield (
                match.start(),
                f"{found!r}: the book says {good!r}"
                + (f" ({why})" if why else ""),
            )
