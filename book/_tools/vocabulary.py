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
# Emphasis, line ends and hyphens make no other word of two.
GAP = r"[*_]*[\s\-\u2010-\u2013][\s\-\u2010-\u2013*_]*"
SAID = re.compile(r"\b(?:alt|aria-label|title)=([\"'])(.*?)\1", re.DOTALL)
PICTURE = re.compile(r"!(\[[^\]]*\])")
# Where ASCII is at home, and where a voice reads: 1 x 1, 1 by 1.
TIMES = re.compile(r"(?<=\d) (?:x|by) (?=\d)")
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


def _pattern(form: str, gap: str = r"\s+", split: str = r"\s+") -> str:
    parts = re.split(split, form.rstrip("*"))
    words = gap.join(re.escape(word) for word in parts)
    if form.endswith("*"):
        return words + r"\w*"
    if re.search("[^aeiou]y$", form):
        return words[:-1] + r"(?:y|ies)"
    return words + "(?:s|es)?"


def flexible(form: str) -> str:
    """Return a pattern that hyphens and emphasis do not hide from."""
    return _pattern(form, GAP, r"[\s-]+")


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


def times(text: str) -> str:
    """Write products as the book's terms have them, with a cross."""
    return TIMES.sub(lambda m: " ×".ljust(len(m[0])), text)


def _words(tag: re.Match[str]) -> str:
    """Blank a tag of HTML but for what it says in words."""
    text = re.sub(r"[^\n]", " ", tag[0])
    for said in SAID.finditer(tag[0]):
        start, end = said.span(2)
        text = text[:start] + said[2] + text[end:]
    return text


def spoken(source: str) -> str:
    """Return :func:`shown` with the words of pictures: alt texts."""
    text = blank(source, CODE)
    text = HIDDEN[1].sub(_words, blank(text, HIDDEN[0]))
    return shown(PICTURE.sub(lambda m: " " + times(m[1]), text))


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
    parts = "|".join(f"({flexible(form)})" for form, _, _ in forms)
    either = rf"(?<![^\W_])(?:{parts})(?![^\W_])"
    return re.compile(either, re.IGNORECASE), forms


def forbidden(source: str, data: Glossary) -> Iterator[tuple[int, str]]:
    """Yield (place, complaint) for each refused name in a text."""
    pattern, forms = _refused(data.terms, tuple(data.spelling.items()))
    if forms:
        right, _ = _uses(data.terms)
        text = spoken(blank(source, ELSEWHERE))
        text = _translations(blank(text, QUOTED))
        for match in pattern.finditer(text):
            _, good, why = forms[match.lastindex - 1]
            found = " ".join(re.sub(r"[*_]", "", match[0]).split())
            # "self attention" is refused, and "self-attention" is the term.
            if right.fullmatch(re.sub("[\u2010-\u2013]", "-", found)):
                continue
            yield (
                match.start(),
                f"{found!r}: the book says {good!r}"
                + (f" ({why})" if why else ""),
            )
