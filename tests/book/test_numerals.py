"""What counts as a number in Markdown, its value and its last digit."""

from __future__ import annotations

from fractions import Fraction

import numerals
import pytest

NUMBERS = {
    "27.8 dB": ["27.8"],
    "3 of 1,536 or 12,": ["3", "1,536", "12"],
    "$1{,}536$": ["1{,}536"],
    "2·10⁻⁴⁶ and 10⁻¹²": ["2·10⁻⁴⁶", "10⁻¹²"],
    r"$2\cdot10^{-46}$, $10^{-12}$": [r"2\cdot10^{-46}", "10^{-12}"],
    r"$3 \times 10^{5}$": [r"3 \times 10^{5}"],
    "1e-12": ["1e-12"],
    "−0.3 or -0.5, 15–59 %": ["−0.3", "-0.5", "15", "59"],
    r"25/8 and $\tfrac{305}{256}$": ["25/8", r"\tfrac{305}{256}"],
    "97x97, 64 × 96, 16-fold": ["97", "97", "64", "96", "16"],
    "$2^{10}=1024$, 9⁹⁶": ["2^{10}", "1024", "9⁹⁶"],
    "| 10 | 20 |": ["10", "20"],
    "conv2d, ResNet-101, float64, timm 1.0.31": [],
    "$x_{12}$, $e^{-20}$, log₁₀": [],
    "`12`, ``13``\n\n```\n14\n```\n\n$$ 15 $$ (eq-a16)": [],
    "# Title 12": [],
    "## Title 12": ["12"],
    "![a 12](b13.svg) [c](d14.md) <img width='15'>": [],
    "[Luo et al. 2016](a.md), in 2016": ["2016"],
    "chapter 12, tables 12 and 13, issue 1447, section 3.14": [],
    "figures 10–12, exercises 10, 11 or 12; p. 14, eq. 2.13": [],
    "10. ten **(20 min).** arXiv:1711.07971": [],
    "it takes (20 min)": ["20"],
    "step 417, steps 12, part 59 %": ["417", "12", "59"],
    "table 12.5 dB, page 12 %, figure 12.5": ["12.5", "12", "12.5"],
    "table 59 dB, section 3.14 %, page 1,536": ["59", "3.14", "1,536"],
    "chapter 12 and 59 % of it": ["59"],
    "exercise 64 × 96, issue 12 pixels": ["64", "96", "12"],
    "chapter 1, 12 pixels": ["12"],
}


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_of_a_text(text: str) -> None:
    assert [n.text for n in numerals.numerals(text)] == NUMBERS[text]


def test_what_is_counted() -> None:
    text = "3 0.5 27 10⁻¹² 2^{10} 25/8 1/2 −7"
    counted = [n.text for n in numerals.numerals(text) if n.counted]
    assert counted == ["0.5", "27", "10⁻¹²", "25/8"]


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("27.8", "27.8", "0.1"),
        ("1,536", "1536", "1"),
        ("−0.06", "-0.06", "0.01"),
        ("2·10⁻⁴⁶", "2e-46", "1e-46"),
        ("10^{-12}", "1e-12", "1e-12"),
        ("25/8", "25/8", "0"),
        ("2^{10}", "1024", "0"),
    ],
)
def test_value_and_last_digit(text: str, value: str, unit: str) -> None:
    (number,) = numerals.numerals(text)
    assert (number.value, number.unit) == (Fraction(value), Fraction(unit))


def test_half_a_unit_of_the_last_digit() -> None:
    (number,) = numerals.numerals("27.8")
    for value, agrees in (("27.75", 1), ("27.85", 1), ("27.86", 0)):
        assert number.agrees(Fraction(value)) == bool(agrees)
