"""Chinese names: wherever one stands, it is the glossary's.

``query (查询)`` in text, tables and alt texts, ``query 查询 · key 键`` in a
list of terms, and in a table the cell beside the one that begins with the
term. A name of the page on notation may stand behind its word there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from numerals import blank
from page import ROOT
from vocabulary import HAN, Glossary, Term, flexible

FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1`*", re.DOTALL | re.MULTILINE)
CODE = re.compile(rf"`[^`\n]*[{HAN}][^`\n]*`")
FORMULA = re.compile(r"(?<![\\$])\$(?:[^$\n])+\$|<!--.*?-->")
ASIDE = re.compile(rf"[(（]([^()（）]*[{HAN}][^()（）]*)[)）]")
TERMS = re.compile(
    rf"^\*\*Terms:?\*\*:?(.*)$|^((?!.*\|)(?=.*[{HAN}]).*\s·(?:\s.*)?)$",
    re.MULTILINE,
)
NOTATION = ROOT / "book" / "back" / "notation.md"
ITEM = re.compile(r"[^·\n]+")
RUN = re.compile(rf"[{HAN}]+")
MARKS = re.compile(r"[*_`]+")
RULE = re.compile(r"[> ]*\|[ :|-]+$")
# How the opening shows what a term looks like.
EXAMPLE = ("like this", "像这样")


@cache
def _patterns(
    terms: tuple[Term, ...],
) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], list[Term]]:
    """Return patterns for a term at the end, at the start and anywhere."""
    longest = sorted(terms, key=lambda t: -len(t.term))
    parts = "|".join(f"({flexible(t.term)})" for t in longest)
    either = rf"(?<![^\W_])(?:{parts})(?![^\W_])"
    flags = re.IGNORECASE
    return (
        re.compile(rf"{either}\W*\Z", flags),
        re.compile(rf"\W*{either}", flags),
        re.compile(either, flags),
        longest,
    )


@cache
def _notation() -> frozenset[tuple[str, str]]:
    """Return (first word of the meaning, Chinese) of the page on notation."""
    rows = NOTATION.read_text(encoding="utf-8").split("\n")
    cells = [[c.strip() for c in row.split("|")] for row in rows]
    return frozenset(
        (re.split(r"\W", row[-3])[0].lower(), row[-2])
        for row in cells
        if len(row) > 3
    )


def _plain(text: str) -> str:
    return " ".join(MARKS.sub("", text).split())


def _wrong(term: Term, found: str) -> str:
    return f"{term.term} is {term.chinese} in the glossary, not {found}"


def wrong_names(
    source: str, data: Glossary, loose: bool = False
) -> Iterator[tuple[int, str]]:
    """Yield (place, complaint) for each Chinese name that is not a term's.

    Args:
        source: Markdown.
        data: the glossary.
        loose: a table may name what is no term (the page on notation).
    """
    text = source
    for pattern in (FENCE, CODE, FORMULA):
        text = blank(text, pattern)
    ends, starts, anywhere, terms = _patterns(data.terms)
    for match in ASIDE.finditer(text):
        before = text[max(0, match.start() - 80) : match.start()]
        before = MARKS.sub("", before).rsplit("|", 1)[-1].rstrip()
        name = _plain(match[1])
        if term := ends.search(before):
            entry = terms[(term.lastindex or 1) - 1]
            if name != entry.chinese:
                yield match.start(), _wrong(entry, name)
        elif not (before.endswith(EXAMPLE[0]) and name == EXAMPLE[1]) and (
            not any((w, name) in _notation() for w in before.lower().split())
        ):
            yield match.start(), f"({name}) follows no term of the glossary"
    text = blank(text, ASIDE)
    for line in TERMS.finditer(text):
        which = 1 if line[1] is not None else 2
        for item in ITEM.finditer(line[which]):
            place = line.start(which) + item.start()
            if not (term := starts.match(item[0])):
                if item[0].strip(" *.:"):
                    yield place, f"no term of the glossary: {item[0].strip()}"
                continue
            entry = terms[(term.lastindex or 1) - 1]
            name = _plain(item[0][term.end() :]).strip(" .")
            if name != entry.chinese:
                yield place, _wrong(entry, name or "nothing")
    text = blank(text, TERMS)
    place = 0
    lines = text.split("\n")
    for n, line in enumerate(lines):
        head = n + 1 < len(lines) and RULE.match(lines[n + 1])
        if line.lstrip("> ").startswith("|"):
            if not head:
                for column, complaint in _row(
                    line, starts, anywhere, terms, loose
                ):
                    yield place + column, complaint
        elif run := RUN.search(line):
            yield place + run.start(), f"write **term ({run[0]})**"
        place += len(line) + 1


def _row(
    line: str,
    starts: re.Pattern[str],
    anywhere: re.Pattern[str],
    terms: list[Term],
    loose: bool,
) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with the Chinese cells of a row of a table."""
    cells = line.split("|")
    column = 0
    for n, cell in enumerate(cells):
        if RUN.search(cell):
            said = [c for c in cells[:n] if starts.match(c)]
            name = _plain(cell)
            if said:
                match = starts.match(said[-1])
                assert match
                entry = terms[(match.lastindex or 1) - 1]
                rest = MARKS.sub("", said[-1][match.end() :]).strip()
                allowed = {entry.chinese}
                if rest[:1] not in ("", ":"):
                    # "positions that are keys": one of its terms is named
                    allowed |= {
                        terms[(m.lastindex or 1) - 1].chinese
                        for m in anywhere.finditer(said[-1])
                    }
                if not any(chinese in name for chinese in allowed):
                    yield column, _wrong(entry, name)
            elif not loose:
                yield column, f"{name} stands beside no term of the glossary"
        column += len(cell) + 1
