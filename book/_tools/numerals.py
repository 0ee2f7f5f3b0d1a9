r"""Numbers as a reader meets them in Markdown, and how exactly they are meant.

``27.8``, ``1,536``, ``-0.3``, ``25/8``, ``2·10⁻⁴⁶``, ``$2\cdot10^{-46}$`` and
``10⁻¹²`` are numbers; ``conv2d``, ``ResNet-101`` and ``1.0.31`` are names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

SUPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
DIGITS = r"\d{1,3}(?:(?:,|\{,\}|\\,)\d{3})+(?!\d)|\d+"
NUMBER = rf"(?:{DIGITS})(?:\.\d+)?"
EXPONENT = r"\^\{[-−]?\d+\}|\^\d|⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+"
TOKEN = re.compile(
    rf"""
      (?P<name>\d+(?:\.\d+){{2,}} | (?<=[\w)}}\]])[_^](?:\{{[^{{}}]*\}}|\d))
    | (?P<sign>(?<![\w)}}\]⁰¹²³⁴⁵⁶⁷⁸⁹])[-−])?
      (?:(?<![\w.\\_^])|(?<=\dx)) (?<![A-Za-z]-)
      (?: (?P<ten>(?:(?P<mantissa>{NUMBER})\s*(?:·|×|\\cdot|\\times)\s*)?
              10(?P<tens>{EXPONENT}))
        | (?P<power>(?P<base>[1-9]\d*)(?P<times>{EXPONENT}))
        | (?P<fraction>(?P<top>\d+)/(?P<bottom>[1-9]\d*)(?![/\d]|\.\d)
            | \\[td]?frac\{{(?P<over>\d+)\}}\{{(?P<under>[1-9]\d*)\}})
        | (?P<float>{NUMBER}e[+-]?\d+)
        | (?P<plain>{NUMBER})
      )
    """,
    re.VERBOSE,
)
# A reference names no quantity: nothing that is measured stands behind it.
UNIT = (
    r"(?!\w|\.\d|,\d{3}|\s?[%×°]|\s?(?:dB|m?s|min|h|px|bits?|bytes?|[kMGT]i?B|GHz"
    r"|FLOPs?|times|fold|pixels|positions|weights|steps|layers|channels"
    r"|numbers|values|seconds|minutes|hours|x)\b)"
)
WHOLE, DOTTED = (
    rf"{number}{UNIT}(?:(?:\s(?:and|to|or)\s|,\s|–){number}{UNIT})*"
    for number in (r"\d+", r"\d+(?:\.\d+)*")
)
# What a reader does not read as a number of the text, in this order.
MASKS = tuple(
    re.compile(pattern, re.DOTALL | re.MULTILINE)
    for pattern in (
        r"^# .*?$",
        r"\$\$.*?\$\$",
        r"!\[[^\]]*\]\([^)]*\)",
        r"(?<=\])\([^)\s]*\)",
        r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>",
        r"https?://\S+|arXiv[: ]\d{4}\.\d{4,5}",
        r"^[ \t>]*\d+[.)](?=\s)",
        r"\(\d+\smin\)(?=[.:]?\*\*)",
        rf"\b(?i:(?:chapter|table|figure|exercise|page|issue)s?\s{WHOLE}"
        rf"|(?:section|equation|appendix)s?\s{DOTTED}"
        rf"|(?:eq|fig|sec|no|p)\.\s{DOTTED})",
    )
)
CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1`*|(?<!`)(`+)(?!`).+?(?<!`)\2(?!`)",
                  re.DOTALL | re.MULTILINE)  # fmt: skip
CITATION = re.compile(r"\[[^\]]*\](?=\()")
YEAR = re.compile(r"\b(?:19|20)\d\d\b")


@dataclass(frozen=True)
class Numeral:
    """A printed number: text, place, value, and the unit of its last digit."""

    text: str
    start: int
    end: int
    value: Fraction
    unit: Fraction
    counted: bool

    def agrees(self, value: Fraction) -> bool:
        """Say whether ``value``, rounded as printed, is this number."""
        slack = Fraction(1, 10**9) * (self.unit or abs(self.value))
        return abs(value - self.value) <= self.unit / 2 + slack

    def same(self, value: Fraction) -> bool:
        """Say whether ``value`` is the printed number itself."""
        return abs(value - self.value) <= Fraction(1, 10**9) * abs(self.value)


def blank(text: str, pattern: re.Pattern[str]) -> str:
    """Replace what ``pattern`` finds by spaces, line ends kept."""
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def prose(text: str) -> str:
    """Blank everything that is no running text; lengths stay."""
    text = CITATION.sub(lambda m: blank(m[0], YEAR), blank(text, CODE))
    for mask in MASKS:
        text = blank(text, mask)
    return text


def _plain(text: str) -> tuple[Fraction, Fraction]:
    digits = re.sub(r"[,{}\\]", "", text)
    places = len(digits.partition(".")[2])
    return Fraction(digits), Fraction(1, 10**places)


def _exponent(text: str) -> int:
    text = text.translate(SUPER).replace("−", "-")
    return int(text.strip("^{}"))


def _numeral(match: re.Match[str]) -> Numeral:
    if match["ten"]:
        power = Fraction(10) ** _exponent(match["tens"])
        value, unit = _plain(match["mantissa"] or "1")
        value, unit = value * power, unit * power
    elif match["power"]:
        value = Fraction(int(match["base"])) ** _exponent(match["times"])
        unit = Fraction(0)
    elif match["fraction"]:
        top = match["top"] or match["over"]
        bottom = match["bottom"] or match["under"]
        value, unit = Fraction(int(top), int(bottom)), Fraction(0)
    elif match["float"]:
        mantissa, _, n = match["float"].partition("e")
        value, unit = (x * Fraction(10) ** int(n) for x in _plain(mantissa))
    else:
        value, unit = _plain(match["plain"])
    if match["fraction"]:
        counted = max(len(top), len(bottom)) > 1
    else:
        counted = not match["power"] and len(re.findall(r"\d", match[0])) > 1
    counted = counted or bool(match["ten"])
    return Numeral(
        match[0], match.start(), match.end(),
        -value if match["sign"] else value, unit, counted,
    )  # fmt: skip


def numerals(text: str) -> list[Numeral]:
    """Return the numbers of a Markdown text without check comments."""
    return [
        _numeral(match)
        for match in TOKEN.finditer(prose(text))
        if not match["name"]
    ]
